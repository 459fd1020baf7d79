"""What the description says of each path beside its own."""

from __future__ import annotations

from tests.workers.gateway.calling import gateway_and_caller
from tidings.bus import Bus
from tidings.workers.gateway.description import problems
from tidings.workers.gateway.problems import KINDS


def test_a_status_is_described_by_the_titles_of_its_problems() -> None:
    """All of them, and beside them whatever else may go wrong."""
    told = problems(503)
    assert list(told) == [503, "default"]
    assert all(kind.title in told[503]["description"] for kind in KINDS.values() if kind.status == 503)


async def test_the_description_says_how_to_come_in() -> None:
    """By token or cookie wherever one is needed, and nowhere else; the cookie is the one that the link sets."""
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus) as (served, caller):
        described = await caller.json("/openapi.json")
        schemes = described["components"]["securitySchemes"]
        assert (schemes["token"]["type"], schemes["token"]["scheme"]) == ("http", "bearer")
        cookie = (schemes["cookie"]["type"], schemes["cookie"]["in"], schemes["cookie"]["name"])
        assert cookie == ("apiKey", "cookie", served.gateway.tokens.cookie_name)
        for path, methods in described["paths"].items():
            for operation in methods.values():
                is_open = path in ("/healthz", "/readyz")
                assert operation.get("security") == (None if is_open else [{"token": []}, {"cookie": []}]), path


async def test_each_path_says_what_it_may_answer() -> None:
    """Its own problems and no others', each as the problem that it is."""
    looking, one = {"200", "401", "403", "default"}, {"404", "410", "503"}
    sending = (looking - {"200"}) | {"400", "409", "410", "411", "413", "415", "422", "429", "503", "504", "507"}
    expected: dict[str, set[str]] = {
        "/healthz": {"200"},
        "/readyz": {"200", "503"},
        "/metrics": looking,
        "/api/me": looking,
        "/api/fleet": looking,
        "/api/stream": looking | {"429", "503"},
        "/api/sessions/{session}": looking | one,
        "/api/sessions/{session}/notices": looking | one,
        "/api/sessions/{session}/history": looking | one | {"422"},
        "/api/sessions/{session}/stream": looking | one | {"422", "429"},
    }
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus) as (_, caller):
        described = await caller.json("/openapi.json")
        answers = {path: set(methods["get"]["responses"]) for path, methods in described["paths"].items() if "get" in methods}
        assert {path: answers[path] for path in expected} == expected
        assert answers["/api/sessions"] == looking | {"422"}
        assert set(described["paths"]["/api/sessions"]["post"]["responses"]) == sending | {"201"}
        assert set(described["paths"]["/api/sessions/{session}/commands"]["post"]["responses"]) == sending | {"200", "404"}
        assert "HTTPValidationError" not in described["components"]["schemas"]
        for methods in described["paths"].values():
            for operation in methods.values():
                for status, answer in operation["responses"].items():
                    if status == "default" or (status >= "400" and "ready" not in operation["operationId"]):
                        assert answer["content"]["application/problem+json"]["schema"]["$ref"].endswith("ProblemView")
