"""How an answer ended, by the provider's own word, wherever that stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.llm.test_received import frame, received
from tidings.workers.llm.finish import How, finish_of, held_back, read_finish

FILTERED = (
    "content_filter",  # OpenAI, Azure, Mistral
    "refusal",  # Anthropic
    "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII LANGUAGE OTHER IMAGE_SAFETY IMAGE_OTHER NO_IMAGE",  # Gemini
    "guardrail_intervened content_filtered CONTENT_FILTERED",  # Bedrock: Converse, Titan
    "ERROR_TOXIC",  # Cohere
    "sensitive",  # Zhipu
    "MODEL_ARMOR_BLOCKED moderation",
)
CUT = (
    "length",  # OpenAI
    "max_tokens model_context_window_exceeded compaction",  # Anthropic
    "MAX_TOKENS",  # Gemini, Cohere
    "model_length",  # Mistral
    "ERROR_LIMIT",  # Cohere, v1
    "LENGTH token_limit time_limit max_output_tokens MaxTokens",  # Titan, watsonx, OpenAI's Responses; some gateways
)
PAUSED = ("pause_turn",)  # Anthropic
MALFORMED = (
    "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE MISSING_THOUGHT_SIGNATURE",  # Gemini
    "malformed_tool_use malformed_model_output",  # Bedrock
)
BROKEN = (
    "error",  # OpenRouter
    "ERROR USER_CANCEL",  # Cohere
    "network_error model_error",  # Zhipu
    "insufficient_system_resource",  # DeepSeek
    "abort",  # vLLM
)
COMPLETE = (
    "stop tool_calls function_call",  # OpenAI
    "end_turn stop_sequence tool_use",  # Anthropic
    "STOP FINISH_REASON_UNSPECIFIED COMPLETE FINISH FINISHED eos_token eos done",
    "a_word_of_next_year",
)
WORDS = [
    pytest.param(word, how, id=word)
    for how, lists in (
        (How.FILTERED, FILTERED),
        (How.CUT, CUT),
        (How.PAUSED, PAUSED),
        (How.MALFORMED, MALFORMED),
        (How.BROKEN, BROKEN),
        (How.COMPLETE, COMPLETE),
    )
    for line in lists
    for word in line.split()
]

PLACES: dict[str, Any] = {
    "openai": {"choices": [{"finish_reason": "WORD", "message": {"content": "x"}}]},
    "openrouter": {"choices": [{"finish_reason": "stop", "native_finish_reason": "WORD"}]},
    "anthropic": {"type": "message", "content": [], "stop_reason": "WORD"},
    "anthropic's stream": {"type": "message_delta", "delta": {"stop_reason": "WORD"}},
    "gemini": {"candidates": [{"finishReason": "WORD"}]},
    "bedrock": {"output": {"message": {}}, "stopReason": "WORD"},
    "titan": {"results": [{"completionReason": "WORD"}]},
    "cohere's stream": {"type": "message-end", "delta": {"finish_reason": "WORD"}},
    "ollama": {"message": {"content": ""}, "done_reason": "WORD"},
    "dashscope": {"output": {"choices": [{"finish_reason": "WORD"}]}},
    "openai's responses": {"response": {"incomplete_details": {"reason": "WORD"}}},
}


def read(body: Any) -> Any:
    """Read a plain answer."""
    return read_finish(received(json.dumps(body), "application/json"))


@pytest.mark.parametrize(("word", "how"), WORDS)
def test_the_word_of_a_provider_says_how_an_answer_ended(word: str, how: How) -> None:
    """What it is made of decides, not a list of words: litellm calls each that it does not know a "stop"."""
    assert read({"choices": [{"finish_reason": word}]}).how is how
    assert (finish_of(word).how, finish_of(word).word) == (how, word)


@pytest.mark.parametrize("body", PLACES.values(), ids=PLACES)
def test_the_word_is_found_in_every_dialect(body: Any) -> None:
    """In whatever field stands for the reason."""
    finish = read(json.loads(json.dumps(body).replace("WORD", "max_tokens")))
    assert (finish.how, finish.word) == (How.CUT, "max_tokens")


def test_what_a_model_says_is_no_reason() -> None:
    """Arguments of a tool, text and the place at which vLLM was told to stop may hold anything."""
    call = {"type": "tool_use", "name": "x", "input": {"finish_reason": "error", "error": {"message": "x"}}}
    assert read({"content": [call], "stop_reason": "tool_use"}).how is How.COMPLETE
    assert read({"choices": [{"message": {"content": {"finishReason": "SAFETY"}}, "finish_reason": "stop"}]}).how is How.COMPLETE
    assert read({"choices": [{"finish_reason": "stop", "stop_reason": "Error:"}]}).how is How.COMPLETE


@pytest.mark.parametrize(
    "body", [{"stop_reason": "x" * 100_000}, {"incomplete_details": {"reason": "x" * 100_000}}], ids=["reason", "details"]
)
def test_only_the_beginning_of_a_word_is_looked_at(body: Any) -> None:
    """A word of 100 KiB would hold the event loop for the time of five patterns."""
    assert len(read(body).word) == 300


def test_a_blocked_prompt_is_held_back_whatever_the_word() -> None:
    """Gemini answers it without a candidate; what it says for people is kept."""
    finish = read({"promptFeedback": {"blockReason": "A_NEW_ONE", "blockReasonMessage": "Not this."}, "candidates": []})
    assert (finish.how, finish.word, finish.words) == (How.FILTERED, "A_NEW_ONE", "Not this.")


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": None, "refusal": "I cannot."}, "finish_reason": "stop"}]},
        {"choices": [], "prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": True, "severity": "high"}}}]},
        {"candidates": [{"safetyRatings": [{"category": "x", "blocked": True}]}]},
        {"choices": None, "input_sensitive": True, "base_resp": {"status_code": 0}},
    ],
    ids=["refusal", "azure", "gemini", "minimax"],
)
def test_an_answer_that_says_nothing_may_have_been_held_back(body: Any) -> None:
    """By words of a refusal, or by the flag of a filter, beside a reason that says nothing."""
    finish = held_back(received(json.dumps(body), "application/json"))
    assert finish is not None
    assert finish.how is How.FILTERED


def test_a_refusal_in_pieces_is_put_together() -> None:
    """As OpenAI streams it; where no filter says so nothing was held back."""
    deltas = [{"choices": [{"delta": {"refusal": text}}]} for text in ("I ", "cannot.")]
    finish = held_back(received("".join(f"data: {json.dumps(delta)}\n\n" for delta in deltas)))
    assert finish is not None
    assert finish.words == "I cannot."
    assert (
        held_back(received('data: {"choices": [{"delta": {"content": ""}, "content_filter_results": {"filtered": false}}]}'))
        is None
    )


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"finish_reason": "stop", "message": {"content": "x"}}], "error": None},
        {"choices": [{"finish_reason": "stop", "message": {"content": "x"}}], "error": {"code": "", "message": ""}},
        {"choices": [{"finish_reason": "stop"}], "base_resp": {"status_code": 0, "status_msg": ""}},
        {"choices": [{"finish_reason": "stop", "content_filter_results": {"error": {"code": "content_filter_error"}}}]},
        {"choices": [{"finish_reason": "stop"}], "message": "ok", "success": True},
    ],
    ids=["none", "empty", "a status of 0", "azure's filter was away", "words beside an answer"],
)
def test_an_answer_with_a_field_for_errors_is_an_answer(body: Any) -> None:
    """Some servers send one with every answer."""
    finish = read(body)
    assert (finish.how, finish.error) == (How.COMPLETE, None)


def test_the_status_of_minimax_is_no_status_of_http() -> None:
    """It stands in every answer; what its filter says is told apart from the rest."""
    told = read({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}).error
    assert told == {"message": "rate limit (1002)"}
    told = read({"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}).error
    assert told == {"message": "output new_sensitive (1027)", "code": "content_filter"}


def test_words_within_a_frame_are_not_taken_for_an_error() -> None:
    """The header of Bedrock's frame says whether it is one, and litellm reads that."""
    data = frame({"message": "Too many requests"})
    assert read_finish(received(data, "application/vnd.amazon.eventstream")).error is None
    assert read_finish(received('{"message": "Too many requests"}')).error == {"message": "Too many requests"}


@given(st.recursive(st.none() | st.booleans() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=20))
def test_any_answer_can_be_read(body: Any) -> None:
    """What a provider sends never raises."""
    read(body)
    read({"choices": [body], "error": body, "delta": body})
    held_back(received(json.dumps({"choices": [body]}), "application/json"))
