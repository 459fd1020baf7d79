"""The description of the API: for programs, and as a plain page."""

from __future__ import annotations

import re
from typing import Any

from tests.workers.gateway.calling import gateway_and_caller
from tidings.bus import Bus
from tidings.workers.gateway.problems import KINDS
from tidings.workers.gateway.reference import reference_page


async def test_the_description_has_every_path_and_examples() -> None:
    """What can be asked, what is answered, and what goes wrong."""
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus) as (_, caller):
        described = await caller.json("/openapi.json")
        assert set(described["paths"]) == {
            "/api/me",
            "/api/fleet",
            "/api/sessions",
            "/api/sessions/{session}",
            "/api/sessions/{session}/history",
            "/api/sessions/{session}/notices",
            "/api/sessions/{session}/stream",
            "/api/sessions/{session}/commands",
            "/api/stream",
            "/healthz",
            "/readyz",
            "/metrics",
        }
        schemas = described["components"]["schemas"]
        assert all(
            "example" in schemas[name] for name in ("NewSession", "NewCommand", "SessionView", "OutcomeView", "ProblemView")
        )
        for path in ("/api/stream", "/api/sessions/{session}/stream"):
            content = described["paths"][path]["get"]["responses"]["200"]["content"]
            assert "event: hello" in content["text/event-stream"]["example"]
        answers = described["paths"]["/api/sessions/{session}/commands"]["post"]["responses"]
        assert {"200", "401", "403", "404", "409", "422", "429", "503", "504"} <= set(answers)
        page = (await caller.get("/api")).text
        assert "<script" not in page
        assert "style=" not in page
        assert "`" not in re.sub("<pre>.*?</pre>", "", page, flags=re.DOTALL)
        [style] = re.findall(r'<link rel="stylesheet" href="([^"]*)">', page)
        assert (await caller.get(style)).headers["content-type"] == "text/css; charset=utf-8"
        assert all(f'id="{word}"' in page for word in KINDS)
        assert all(path in page for path in described["paths"])


def test_whatever_is_described_is_text() -> None:
    """Markup in a description is shown, not obeyed."""
    operation: dict[str, Any] = {
        "description": "<b>",
        "parameters": [{"name": "<i>", "in": "query"}],
        "responses": {"200": {"description": "<u>", "content": {"text/plain": {"example": "<s>"}}}},
    }
    page = reference_page({"info": {"title": "<h6>", "version": "1"}, "paths": {"/<p>": {"get": operation}}})
    assert not [tag for tag in ("<b>", "<i>", "<u>", "<s>", "<h6>", "/<p>") if tag in page]
    assert "&lt;s&gt;" in page


def test_names_in_a_description_are_code() -> None:
    """No backticks are left over, and what stands between them is escaped like everything else."""
    operation: dict[str, Any] = {"description": "Give `<b>`, or `next`.", "parameters": [], "responses": {}}
    page = reference_page({"info": {"title": "t", "version": "1"}, "paths": {"/p": {"get": operation}}})
    assert "Give <code>&lt;b&gt;</code>, or <code>next</code>." in page
    assert "`" not in page
