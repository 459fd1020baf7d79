"""What litellm is asked."""

from __future__ import annotations

from typing import Any

import pytest

from tidings.workers.llm import Llm
from tidings.workers.llm.request import build_request, check_params, check_prompt, checked_name

PROMPT = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
TOOLS = [{"type": "function", "function": {"name": "add"}}]


def test_a_request_holds_what_was_given() -> None:
    """Model, prompt, tools and time-out go over whatever parameters there are."""
    request = build_request("openai/x", PROMPT, TOOLS, {"temperature": 0}, 5.0)
    assert request == {"model": "openai/x", "messages": PROMPT, "tools": TOOLS, "temperature": 0, "timeout": 5.0}


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_are_not_sent(tools: Any) -> None:
    """OpenAI refuses an empty list."""
    assert "tools" not in build_request("openai/x", PROMPT, tools, {}, 5.0)


def test_a_request_is_a_copy() -> None:
    """Whatever is done to it, the caller's prompt and tools stay as they are."""
    request = build_request("openai/x", PROMPT, TOOLS, {}, 5.0)
    request["messages"][0]["content"][0]["text"] = "changed"
    request["tools"][0]["function"].clear()
    assert PROMPT[0]["content"] == [{"type": "text", "text": "hello"}]
    assert TOOLS[0]["function"] == {"name": "add"}


def test_other_parameters_pass() -> None:
    """Only those that hide requests, waits or models do not."""
    check_params({"temperature": 0, "max_tokens": 5, "drop_params": True, "extra_headers": {}})
    with pytest.raises(TypeError, match=r"num_retries .* plan"):
        check_params({"temperature": 0, "num_retries": 1})


def test_a_prompt_is_made_of_mappings() -> None:
    """Anything else is refused and named."""
    check_prompt(PROMPT)
    stray: Any = 7
    with pytest.raises(TypeError, match="not of int"):
        check_prompt([*PROMPT, stray])


def test_a_name_fits_into_a_notice() -> None:
    """1 to 64 characters."""
    assert checked_name("x" * 64) == "x" * 64
    with pytest.raises(ValueError, match="64"):
        checked_name("x" * 65)


@pytest.mark.parametrize("name", ["api_base", "base_url", "azure_endpoint"])
@pytest.mark.parametrize(
    "address", ["https://me:hunter2@host/v1", "http://hunter2@host", "me:hunter2@host/v1", "//:hunter2@host"]
)
def test_an_address_with_credentials_is_refused(name: str, address: str) -> None:
    """In the constructor and with a call; the text says where the key belongs, and does not repeat the address."""
    params: dict[str, Any] = {name: address}
    for refused in (lambda: Llm("openai/x", **params), lambda: check_params(params)):
        with pytest.raises(ValueError, match=r"OPENAI_API_KEY.*api_key.*extra_headers") as caught:
            refused()
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["https://host/v1", "http://[::1]:80/v1/@scope", "https://host?user=a@b", "host#a@b", ""])
def test_other_addresses_are_taken(address: str) -> None:
    """An @ elsewhere is none of a user."""
    check_params({"api_base": address})
