"""docs/gateway.md says what the gateway does: its examples are checked, its paths and metrics are there, its program runs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tests.workers.gateway.calling import gateway_and_caller
from tidings.bus import Bus
from tidings.workers.gateway import models
from tidings.workers.gateway.problems import KINDS
from tidings.workers.view import view_json

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "gateway.md").read_text()
_EXAMPLE = re.compile(r"<!-- example: (\w+) -->\n```json\n(.*?)\n```", re.DOTALL)


@pytest.mark.parametrize(("model", "text"), _EXAMPLE.findall(PAGE))
def test_each_example_is_what_the_api_gives(model: str, text: str) -> None:
    """No member is missing and none is invented."""
    read = TypeAdapter(getattr(models, model)).validate_json(text)
    if model == "SessionView":
        assert json.loads(view_json(read)) == json.loads(text)
        assert read == models.SESSION
    assert len(_EXAMPLE.findall(PAGE)) == 3


async def test_each_path_and_each_metric_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the page are those of the description; the program of the page prints a link."""
    async with Bus.connect("memory://") as bus:
        async with gateway_and_caller(bus) as (_, caller):
            described = (await caller.json("/openapi.json"))["paths"]
            metrics = (await caller.get("/metrics")).text
        [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        names: dict[str, object] = {}
        exec(compile(ast.parse(program), "docs/gateway.md", "exec"), names)
        await names["show"](bus)  # type: ignore[operator]
    assert "/?token=" in capsys.readouterr().out
    told = {
        path.partition("?")[0].replace("SESSION", "{session}")
        for path in re.findall(r"`(/(?:api/|healthz|readyz|metrics)[^`]*)`", PAGE)
    }
    assert told == set(described)
    named = {name.partition("{")[0] for name in re.findall(r"`(tidings_\w+(?:\{[\w,]+\})?)`", PAGE)}
    assert (
        sorted(
            name
            for name in named
            if f"{name} " not in metrics and f"{name}{{" not in metrics and name != "tidings_gateway_commands_total"
        )
        == []
    )


def test_each_status_of_a_problem_is_explained() -> None:
    """And the problem in the example is one of ours."""
    for kind in KINDS.values():
        assert str(kind.status) in PAGE or kind.status in (405, 500), kind
    assert json.loads(_EXAMPLE.findall(PAGE)[-1][1])["type"].removeprefix("/api#") in KINDS
