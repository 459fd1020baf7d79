"""What changes something, over HTTP: the answer is what became of it, once, for whoever may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conftest import MakeServer
from tests.workers.cli.stage import bring, hold
from tests.workers.gateway.calling import VIEWER, calling, gateway_and_caller
from tidings.bus import Bus, State, UserMessage
from tidings.workers.controller import Controller
from tidings.workers.gateway.models import OutcomeView
from tidings.workers.gateway.steering import command_id
from tidings.workers.settings import Settings

SAY = {"type": "session.say", "text": "And rain?"}
PAUSE = {"type": "session.pause"}


@pytest.fixture
async def controlled(bus: Bus) -> AsyncIterator[Bus]:
    """A bus on which a controller runs."""
    controller = Controller(bus, Settings(controller_poll_s=0.05), name="c1")
    task = asyncio.create_task(controller.run())
    yield bus
    controller.stop()
    await task


async def test_a_session_is_started_and_steered(controlled: Bus) -> None:
    """201 and 200 say that it has happened already; who asked is seen, and only what was said is in the history."""
    bus = controlled
    async with gateway_and_caller(bus) as (served, caller):
        answer = await caller.post(
            "/api/sessions", {"session": "sea", "text": "Why is the sea salt?"}, X_Tidings_User="ann\x1b[1m"
        )
        assert (answer.status_code, answer.headers["location"]) == (201, "/api/sessions/sea")
        assert OutcomeView.model_validate(answer.json()).state is State.QUEUED
        for body, state in (
            ({"type": "session.pause", "why": "lunch"}, State.PAUSED),
            (SAY, State.PAUSED),
            ({"type": "session.resume"}, State.QUEUED),
            ({"type": "session.stop"}, State.STOPPED),
        ):
            answer = await caller.post("/api/sessions/sea/commands", body)
            assert answer.status_code == 200, answer.text
            assert (await bus.status("sea")).state is OutcomeView.model_validate(answer.json()).state is state
        said = [(event.data.text, event.data.by) for event in await bus.history("sea") if isinstance(event.data, UserMessage)]
        assert said == [("Why is the sea salt?", "ann (web)"), ("And rain?", "operator (web)")]
        assert served.gateway.hub.counts.commands["session.pause", "applied"] == 1


async def test_a_name_beyond_latin_letters_is_percent_encoded(controlled: Bus) -> None:
    """A browser cannot put it into a header otherwise; what it hides is made harmless too."""
    async with gateway_and_caller(controlled) as (_, caller):
        await caller.post("/api/sessions", {"session": "sea", "text": "hello"}, X_Tidings_User="%C5%81ucja%1B%5B1m 100%")
    (said,) = await controlled.history("sea")
    assert isinstance(said.data, UserMessage)
    assert said.data.by == "Łucja 100% (web)"


async def test_a_refusal_says_why_and_what_would_be_accepted(controlled: Bus) -> None:
    """409, nothing has changed, and the reason is for a person."""
    await bring(controlled, "over", State.FINISHED)
    await bring(controlled, "idle", State.AWAITING_INPUT)
    async with gateway_and_caller(controlled) as (_, caller):
        answer = await caller.post("/api/sessions/over/commands", {"type": "session.resume"})
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["type"], problem["state"], problem["legal"]) == ("/api#refused", "finished", ["session.delete"])
        assert problem["reason"] == problem["detail"] == "the session is finished, and that is final"
        problem = (await caller.post("/api/sessions/idle/commands", {"type": "session.resume"})).json()
        assert problem["legal"] == ["session.say", "session.pause", "session.stop", "session.delete"]
        again = await caller.post("/api/sessions", {"session": "idle"})
        assert (again.status_code, again.json()["state"]) == (409, "awaiting_input")


async def test_what_nobody_answers_will_not_be_applied(bus: Bus) -> None:
    """504 without a controller; one that comes later leaves the session as it is."""
    await bring(bus, "sea", State.AWAITING_INPUT)
    async with gateway_and_caller(bus, command_timeout_s=0.1) as (served, caller):
        answer = await caller.post("/api/sessions/sea/commands", {"type": "session.stop"}, Idempotency_Key="k1")
        assert (answer.status_code, answer.json()["type"]) == (504, "/api#not-answered")
        first = answer.json()["command_id"]
        controller = Controller(bus, Settings(controller_poll_s=0.05), name="c1")
        task = asyncio.create_task(controller.run())
        again = await caller.post("/api/sessions/sea/commands", {"type": "session.stop"}, Idempotency_Key="k1")
        assert (again.status_code, again.json()["command_id"]) == (504, first)
        controller.stop()
        await task
        assert (await bus.status("sea")).state is State.AWAITING_INPUT
        assert served.gateway.hub.counts.commands == {("session.stop", "expired"): 2}


@pytest.mark.parametrize("key", ["3f0c", "two words", "ü", "x" * 200])
async def test_a_repeat_with_the_same_key_is_safe(controlled: Bus, key: str) -> None:
    """One session, one message, one outcome, whatever the key looks like."""
    async with gateway_and_caller(controlled) as (_, caller):
        headers = {b"Idempotency-Key": key.encode()}
        answers = [await caller.http.post("/api/sessions", json={"text": "hi"}, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
        session = answers[0].json()["session"]
        both = [await caller.http.post(f"/api/sessions/{session}/commands", json=SAY, headers=headers) for _ in range(2)]
        assert len({answer.text for answer in both}) == 1
        records = [record.session async for record in controlled.sessions()]
        assert records == [session]


async def test_a_key_is_not_taken_for_another_command(controlled: Bus) -> None:
    """422 and nothing done, from any gateway: never the outcome of what was not asked. Who repeats it does not matter."""
    await hold(controlled, "sea")
    async with gateway_and_caller(controlled) as (_, one), gateway_and_caller(controlled) as (_, other):
        path = "/api/sessions/sea/commands"
        first = await one.post(path, SAY, Idempotency_Key="k1", X_Tidings_User="ann")
        assert first.status_code == 200
        for body in (PAUSE, SAY | {"text": "And snow?"}, SAY | {"why": "curious"}):
            for caller in (one, other):
                answer = await caller.post(path, body, Idempotency_Key="k1")
                assert (answer.status_code, answer.json()["type"]) == (422, "/api#key-reused")
        assert (await controlled.status("sea")).state is State.RUNNING
        again = await other.post(path, SAY, Idempotency_Key="k1", X_Tidings_User="bob")
        assert (again.status_code, again.json()) == (200, first.json())
        assert (await other.post(path, PAUSE, Idempotency_Key="k2")).json()["state"] == "paused"
        for text, status in (("hi", 201), ("hi", 201), ("ho", 422)):
            assert (await one.post("/api/sessions", {"text": text}, Idempotency_Key="k1")).status_code == status


async def test_a_session_is_deleted(controlled: Bus) -> None:
    """Whoever looks at it or at the fleet is told; after that its name says that it was deleted."""
    await bring(controlled, "sea", State.AWAITING_INPUT)
    async with gateway_and_caller(controlled) as (_, caller):
        async with caller.follow("/api/sessions/sea/stream") as stream, caller.follow("/api/stream") as fleet:
            await stream.until("status")
            await fleet.until("ready")
            answer = await caller.post("/api/sessions/sea/commands", {"type": "session.delete"})
            assert (answer.status_code, answer.json()["state"]) == (200, "deleted")
            await fleet.until("gone", lambda data: data["session"] == "sea")
            await stream.until("gone")
            await stream.until("gap", lambda data: data["why"] == "deleted")
        for path in ("/api/sessions/sea", "/api/sessions/sea/history", "/api/sessions/sea/notices", "/api/sessions/sea/stream"):
            answer = await caller.get(path)
            assert (answer.status_code, answer.json()["type"]) == (410, "/api#deleted")
        assert (await caller.json("/api/sessions"))["total"] == 0
        again = await caller.post("/api/sessions", {"session": "sea"})
        assert again.status_code in (409, 410)


async def test_a_session_that_nobody_named_gets_a_name(controlled: Bus) -> None:
    """Another one each time."""
    async with gateway_and_caller(controlled) as (_, caller):
        names = [(await caller.post("/api/sessions", {})).json()["session"] for _ in range(2)]
        assert len(set(names)) == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/api/sessions/sea/commands", {"type": "session.sing"}, 422, "invalid"),
        ("/api/sessions/sea/commands", {"type": "session.say"}, 422, "invalid"),
        ("/api/sessions/sea/commands", {"type": "session.say", "text": ""}, 422, "invalid"),
        ("/api/sessions/sea/commands", {"type": "session.pause", "text": "hm"}, 422, "invalid"),
        ("/api/sessions/sea/commands", {"type": "session.pause", "why": "w" * 501}, 422, "invalid"),
        ("/api/sessions/sea/commands", {"type": "session.pause", "colour": "red"}, 422, "invalid"),
        ("/api/sessions/sea/commands", ["session.pause"], 422, "invalid"),
        ("/api/sessions/no.name/commands", {"type": "session.pause"}, 422, "invalid"),
        ("/api/sessions/nobody/commands", {"type": "session.pause"}, 404, "not-found"),
        ("/api/sessions", {"session": "no.name"}, 422, "invalid"),
        ("/api/sessions/sea/commands", {"type": "session.say", "text": "t" * 300_000}, 413, "too-large"),
        ("/api/sessions/sea/commands", {"type": "session.say", "text": "t" * 3_000_000}, 413, "too-large"),
    ],
)
async def test_what_cannot_be_sent_is_a_problem(bus: Bus, path: str, body: object, status: int, word: str) -> None:
    """Named by its field, and what was sent is not repeated."""
    await bring(bus, "sea", State.AWAITING_INPUT)
    async with gateway_and_caller(bus) as (_, caller):
        answer = await caller.post(path, body)
        assert (answer.status_code, answer.json()["type"]) == (status, f"/api#{word}")
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.text) < 1000


async def test_a_body_that_is_no_json(bus: Bus) -> None:
    """Broken, of another type, without a length: each is told apart."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"{}"

    async with gateway_and_caller(bus) as (_, caller):
        as_json = {"Content-Type": "application/json"}
        broken = await caller.http.post("/api/sessions", content=b"{", headers=as_json)
        assert (broken.status_code, broken.json()["type"]) == (400, "/api#malformed")
        untyped = await caller.http.post("/api/sessions", content=b'{"session":"sea"}', headers={"Content-Type": "text/plain"})
        assert (untyped.status_code, untyped.json()["type"]) == (415, "/api#wrong-type")
        endless = await caller.http.post("/api/sessions", content=parts(), headers=as_json)
        assert (endless.status_code, endless.json()["type"]) == (411, "/api#no-length")


async def test_too_many_commands_of_one_token(controlled: Bus) -> None:
    """429 says when to come again; those before it were carried out, and looking is not limited."""
    await hold(controlled, "sea")
    async with gateway_and_caller(controlled, command_rate=2) as (served, caller):
        codes = [(await caller.post("/api/sessions/sea/commands", SAY)).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        limited = await caller.post("/api/sessions/sea/commands", SAY)
        assert 1 <= int(limited.headers["retry-after"]) <= 30
        assert limited.json()["detail"].endswith(f"Try again in {limited.headers['retry-after']} s.")
        assert (await caller.get("/api/sessions")).status_code == 200
        assert served.gateway.hub.counts.commands["session.say", "limited"] == 2


async def test_a_viewer_changes_nothing(bus: Bus) -> None:
    """403 before anything is looked at, also for what is not there."""
    await bring(bus, "sea", State.AWAITING_INPUT)
    async with gateway_and_caller(bus) as (served, _), calling(served.url, VIEWER) as viewer:
        for path, body in (("/api/sessions", {}), ("/api/sessions/sea/commands", SAY), ("/api/nothing", {})):
            answer = await viewer.post(path, body)
            assert (answer.status_code, answer.json()["type"]) == (403, "/api#not-allowed")
        assert (await viewer.get("/api/sessions/sea")).status_code == 200
    assert (await bus.status("sea")).commands == 0


async def test_redis_is_away(make_server: MakeServer) -> None:
    """503, and when to come again; it claims neither that the command was done nor that it was withdrawn."""
    server = make_server()
    async with Bus.connect(server.url) as bus, gateway_and_caller(bus, command_timeout_s=0.3) as (_, caller):
        await bring(bus, "sea", State.AWAITING_INPUT)
        server.kill()
        answer = await caller.post("/api/sessions/sea/commands", {"type": "session.stop"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "may have been done or not. If it is not done within 0.3 s it never will be" in answer.json()["detail"]
        assert answer.json()["command_id"]
        assert (await caller.get("/api/sessions/sea")).json()["detail"] == "Redis does not answer. Try again in a moment."


def test_the_same_command_under_a_key_is_the_same_command() -> None:
    """Whatever the key looks like; another command is another one, and without a key each is new."""
    assert command_id("two words", "sea", "session.say", "hi", "") == command_id("two words", "sea", "session.say", "hi", "")
    asked = [
        ("k", "sea", "say", "hi", ""),
        ("j", "sea", "say", "hi", ""),
        ("k", "lake", "say", "hi", ""),
        ("k", "sea", "say", None, ""),
    ]
    assert len({command_id(*one) for one in asked}) == len(asked)
    assert command_id("", "sea", "say") != command_id("", "sea", "say")
