"""What is logged of sessions that came to be in error."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests import actors
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import Ending, Message, Reason, SessionState, State, Trigger
from tidings.bus.messages import encode, new_id
from tidings.workers.controller import error_log as module
from tidings.workers.controller.error_log import Errors


def moved(to: State = State.ERROR, **data: Any) -> Message[SessionState]:
    """A change of state as it is on the wire."""
    return Message.of(SessionState.model_validate({"from": "running", "to": to, "version": 3, **data}), session="sea")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None, str]]:
    """What was logged of sessions in error: session, reason, why."""
    found = [record.__dict__ for record in caplog.records if record.message == "session.error"]
    return [(one["session"], one["reason"], one["why"]) for one in found]


async def test_each_change_to_error_is_logged_once_whoever_made_it(caplog: pytest.LogCaptureFixture, redis_url: str) -> None:
    """By a worker that lets it go, and by a controller that gives it to no other worker; one more after a resume is another."""
    caplog.set_level(logging.ERROR, "tidings.controller")
    async with Fleet(redis_url, workers=0, reap_at_once=True, loss_limit=1) as fleet:
        failed = Ending(Trigger.FAIL, read=0, reason=Reason.AUTH, why="openai/x: the key is wrong.")

        async def listens() -> bool:
            # What is told before a controller has subscribed is not heard.
            await (await actors.hold(fleet.bus, new_id())).release(failed)
            return bool(lines(caplog))

        await eventually(listens, PATIENCE_S)
        caplog.clear()
        await (await actors.hold(fleet.bus, "sea")).release(failed)
        expected = ("sea", "auth", "openai/x: the key is wrong.")
        await eventually(lambda: expected in lines(caplog), PATIENCE_S)
        caplog.clear()
        await actors.hold(fleet.bus, "lost", lease_s=0.05)
        await fleet.until("lost", State.ERROR)
        await fleet.resume("sea")
        await (await actors.hold(fleet.bus, "sea")).release(failed)
        await eventually(lambda: len(lines(caplog)) == 2, PATIENCE_S)
    assert [session for session, _, _ in lines(caplog)] == ["lost", "sea"]
    assert "a worker was lost on it" in lines(caplog)[0][2]


def test_what_is_told_again_is_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    """A message that comes twice, a session that was in error before, another state, and what is no message at all."""
    errors, told = Errors(), moved(reason="auth", why="no")
    for payload in (encode(told), encode(told), encode(moved(State.PAUSED)), b'"session.state" "to":"error"'):
        errors.hear(payload if isinstance(payload, bytes) else payload.encode())
    errors.tell(told)
    errors.tell(moved(State.ERROR, **{"from": "error"}))
    assert lines(caplog) == [("sea", "auth", "no")]


def test_what_is_kept_and_what_is_written_is_bounded(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many fail, and whatever they say."""
    monkeypatch.setattr(module, "KEPT", 2)
    errors = Errors()
    for number in range(5):
        errors.tell(moved(why=f"{number}\n\x1b[2J" + "x" * 9000))
    assert [(why[:3], len(why)) for _, _, why in lines(caplog)] == [(f"{number} x", 500) for number in range(5)]
    assert len(errors._logged) == 2
