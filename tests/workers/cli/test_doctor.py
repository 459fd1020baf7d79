"""`tidings doctor`, on servers of many kinds."""

from __future__ import annotations

import json

import pytest

from tests.conftest import MakeServer
from tests.workers.cli.conftest import Tidings
from tidings.bus import Bus, Presence, Role
from tidings.bus.channels import Names
from tidings.bus.roles import acl
from tidings.workers.provider import Fault, Provider

PASSWORD = "correct-horse"


async def _levels(tidings: Tidings, *arguments: str) -> tuple[int, dict[str, str]]:
    """The exit code, and the worst level of each check."""
    done = await tidings("doctor", "--json", *arguments)
    levels: dict[str, str] = {}
    for line in done.stdout.splitlines():
        finding = json.loads(line)
        assert set(finding) == {"check", "level", "found", "advice"}
        assert PASSWORD not in line
        levels[finding["check"]] = max(levels.get(finding["check"], "ok"), finding["level"], key=["ok", "note", "problem"].index)
    return done.code, levels


async def _people(url: str) -> None:
    async with Bus.connect(url) as bus:
        await bus.admin.attend(Presence(role=Role.WORKER, name="w1", concurrency=1))
        await bus.admin.attend(Presence(role=Role.CONTROLLER, name="c1"))


async def test_all_is_well(tidings: Tidings, make_server: MakeServer) -> None:
    """A server as compose runs it, with a worker and a controller: no problem, exit code 0."""
    server = make_server(appendonly=True, password=PASSWORD)
    await _people(server.url)
    code, levels = await _levels(tidings, "--redis", server.tcp_url)
    assert code == 0
    assert set(levels.values()) == {"ok"}
    assert set(levels) == {
        *("address", "subscribe", "server", "rights", "durability", "eviction"),
        *("latency", "clock", "controllers", "workers", "records", "ready", "due"),
    }


async def test_an_empty_installation_lacks_its_processes(tidings: Tidings, server_bus: Bus) -> None:
    """That is a problem and not an error; the text says what to start."""
    done = await tidings("doctor")
    assert done.code == 1
    assert "PROBLEM controllers no controller is alive\n                    -> start one: tidings controller" in done.stdout


@pytest.mark.parametrize(
    ("extra", "check", "level"),
    [
        (["appendonly no"], "durability", "problem"),
        (["appendonly yes", "appendfsync everysec"], "durability", "note"),
        (["appendonly yes", "appendfsync always"], "durability", "ok"),
        (["maxmemory-policy allkeys-lru"], "eviction", "problem"),
    ],
)
async def test_each_configuration_is_judged(
    tidings: Tidings, make_server: MakeServer, extra: list[str], check: str, level: str
) -> None:
    """What a restart or a full server would cost."""
    _, levels = await _levels(tidings, "--redis", make_server(extra=extra).url)
    assert levels[check] == level


@pytest.mark.parametrize(
    ("rights", "arguments", "expected"),
    [
        ("~* &* +@all -config", (), {"durability": "note", "rights": "ok"}),
        ("~* &* +@all -publish", (), {"rights": "problem"}),
        ("~* &* +@all -publish", ("--role", "viewer"), {"rights": "ok"}),
        ("~* &* +@all -multi", (), {"rights": "problem"}),
        ("~* resetchannels +@all", (), {"rights": "problem", "subscribe": "problem"}),
        ("~* &* +@all -hgetall", (), {"rights": "problem"}),
        ("~other* &* +@all", (), {"rights": "problem"}),
        ("~* &* -@all +ping", (), {}),
        (acl(Role.PERSON, Names()), ("--role", "person"), {"rights": "ok"}),
    ],
)
async def test_a_user_with_few_rights_still_learns_what_is_missing(
    tidings: Tidings, make_server: MakeServer, rights: str, arguments: tuple[str, ...], expected: dict[str, str]
) -> None:
    """Whatever is not allowed becomes a finding, never a failure of the doctor."""
    server = make_server(appendonly=True, acl=[f"ann on >{PASSWORD} {rights}"])
    code, levels = await _levels(tidings, "--redis", f"unix://ann:{PASSWORD}@{server.socket}", *arguments)
    assert {check: levels[check] for check in expected} == expected
    assert code == 1  # nobody works there


async def test_a_wrong_password_is_a_finding(tidings: Tidings, make_server: MakeServer) -> None:
    """The address answers, and refuses."""
    server = make_server(password="another")
    code, levels = await _levels(tidings, "--redis", f"redis://:{PASSWORD}@127.0.0.1:{server.port}")
    assert (code, levels) == (1, {"address": "problem"})


async def test_a_server_that_is_away_is_a_finding(tidings: Tidings) -> None:
    """One line that says what to do."""
    code, levels = await _levels(tidings, "--redis", "redis://127.0.0.1:1")
    assert (code, levels) == (1, {"address": "problem"})


@pytest.mark.parametrize(
    "arguments", [("--role", "gardener"), ("--model-call",), ("--redis", "memory://")], ids=["role", "model", "memory"]
)
async def test_what_cannot_be_asked_is_a_mistake(tidings: Tidings, arguments: tuple[str, ...]) -> None:
    """Nothing is looked at."""
    done = await tidings("doctor", *arguments)
    assert (done.code, done.stdout) == (2, "")


# the model, in the event loop of a provider of our own


async def test_the_model_is_asked_only_when_wanted(tidings: Tidings, server_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request for one token; without the flag none."""
    monkeypatch.setenv("OPENAI_API_KEY", "anything")
    async with Provider() as provider:
        where = ("--model", "openai/x", "--api-base", provider.base_url)
        _, levels = await _levels(tidings, *where)
        assert "model" not in levels
        assert provider.requests == []
        _, levels = await _levels(tidings, "--model-call", *where)
        assert levels["model"] == "ok"
        assert len(provider.requests) == 1


async def test_a_model_that_thinks_before_it_says_anything_answers(
    tidings: Tidings, server_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its one token is used up by then, which is all that is asked for."""
    monkeypatch.setenv("OPENAI_API_KEY", "anything")
    choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": ""}}
    body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice]})
    async with Provider() as provider:
        provider.script(Fault(kind="status", status=200, headers={"Content-Type": "application/json"}, body=body))
        _, levels = await _levels(tidings, "--model-call", "--model", "openai/x", "--api-base", provider.base_url)
    assert levels["model"] == "ok"


async def test_a_model_that_refuses_is_a_problem_with_its_remedy(
    tidings: Tidings, server_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request, not repeated; the key is not shown."""
    monkeypatch.setenv("OPENAI_API_KEY", PASSWORD)
    async with Provider() as provider:
        provider.script(Fault.parse("429:retry-after=1"))
        _, levels = await _levels(tidings, "--model-call", "--model", "openai/x", "--api-base", provider.base_url)
        assert levels["model"] == "problem"
        assert len(provider.requests) == 1


async def test_an_address_that_cannot_be_used_is_a_mistake_as_everywhere(tidings: Tidings) -> None:
    """Exit code 2: there is nothing to be examined."""
    done = await tidings("doctor", "--redis", "foo")
    assert (done.code, done.stdout) == (2, "")
    assert (done.code, done.stderr) == ((other := await tidings("sessions", "--redis", "foo")).code, other.stderr)
