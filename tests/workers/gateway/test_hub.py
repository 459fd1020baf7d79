"""The hub: rows from records and notices, in the right order, and what is left when something fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests import actors
from tests.waiting import eventually
from tests.workers.cli.stage import bring, hold, park
from tidings.bus import AccessDenied, Bus, Message, Notice, State, Unreachable
from tidings.workers.gateway.hub import Hub
from tidings.workers.gateway.ledger import gone_frame


@pytest.fixture
async def hub(bus: Bus) -> AsyncIterator[Hub]:
    """A hub that has begun, on a bus with a few sessions."""
    await bring(bus, "idle", State.AWAITING_INPUT)
    await park(bus, "parked", resume_in_s=60)
    found = Hub(bus, heartbeat_s=0.1)
    await found.start()
    yield found
    await found.aclose()
    await found.aclose()


async def test_what_there_is_is_known_before_it_begins(hub: Hub, bus: Bus) -> None:
    """With the time since which it is so, from the record."""
    assert {entry.row.session: entry.row.state for entry in hub.ledger} == {
        "idle": State.AWAITING_INPUT,
        "parked": State.RATE_LIMITED,
    }
    entry = hub.ledger.get("parked")
    assert entry is not None
    assert entry.row.since == (await bus.status("parked")).since
    assert entry.row.parked


async def test_a_record_does_not_undo_what_a_notice_has_told(hub: Hub, bus: Bus) -> None:
    """A worker tells a wait before its controller decides the state; who reads the record then sees the wait all the same."""
    await hold(bus, "sea")
    await actors.publish(bus, actors.retry("sea", 2))
    await eventually(lambda: _state(hub, "sea") is State.RATE_LIMITED)
    record = await bus.status("sea")
    assert record.state is State.RUNNING
    assert hub.learn(record).state is State.RATE_LIMITED
    assert _state(hub, "sea") is State.RATE_LIMITED


async def test_a_deleted_session_is_gone(hub: Hub, bus: Bus) -> None:
    """From the list, and for whoever looks at the fleet; its tombstone does not bring it back."""
    change = hub.ledger.change
    await hub._take(actors.moved("idle", State.DELETED))
    assert hub.ledger.get("idle") is None
    assert hub.ledger.after(change) == [gone_frame("idle")]
    tombstone = replace(await bus.status("idle"), state=State.DELETED, status=9)
    assert hub.learn(tombstone).state is State.DELETED
    assert hub.ledger.get("idle") is None


async def test_notices_that_are_known_already_change_nothing(hub: Hub, bus: Bus) -> None:
    """A picture at a place that was seen, and a notice that comes twice."""
    await hold(bus, "sea")
    await eventually(lambda: _state(hub, "sea") is State.RUNNING)
    change = hub.ledger.change
    picture = (await bus.status("sea")).as_notice(bus.now())
    assert picture is not None
    await hub._take(picture)
    assert hub.ledger.change == change


async def test_a_notice_that_cannot_be_taken_harms_no_other(hub: Hub, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged, and the next one counts."""
    apply, broken = hub._apply, list[bool]()

    def once(*arguments: Any) -> None:
        if not broken:
            broken.append(True)
            raise ZeroDivisionError
        apply(*arguments)

    monkeypatch.setattr(hub, "_apply", once)
    await bring(bus, "sea", State.ERROR)
    await eventually(lambda: _state(hub, "sea") is State.ERROR)
    assert broken


async def test_what_could_not_be_read_is_read_later(hub: Hub, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server is away a session is remembered, and looked at when it is back."""
    status = bus.status

    async def away(session: str) -> Any:
        raise Unreachable("away")

    monkeypatch.setattr("tidings.workers.gateway.hub.FLEET_S", 0.05)
    monkeypatch.setattr(bus, "status", away)
    await hub._read("idle")
    assert hub._unread == {"idle"}
    monkeypatch.setattr(bus, "status", status)
    await eventually(lambda: not hub._unread)
    await hub._read("nobody")
    assert hub.ledger.get("nobody") is None


async def test_a_session_that_is_gone_is_forgotten(hub: Hub, bus: Bus) -> None:
    """When its record is."""
    link = bus._context
    await link.connection.commands.delete(link.names.record("idle"))
    await hub._read("idle")
    assert hub.ledger.get("idle") is None
    assert hub.ledger.by_state[State.AWAITING_INPUT] == 0


async def test_a_subscription_that_breaks_is_opened_anew(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights that are taken away for a while, say; then what there is is learned anew."""
    monkeypatch.setattr("tidings.workers.gateway.hub.LOOK_S", 0.01)
    hub = Hub(bus)
    tried: list[bool] = []

    async def broken() -> AsyncIterator[Message[Notice]]:
        raise AccessDenied("not now")
        yield

    class Broken:
        async def __aenter__(self) -> AsyncIterator[Message[Notice]]:
            return broken()

        async def __aexit__(self, *_: object) -> None:
            tried.append(True)

    follow = bus.follow
    monkeypatch.setattr(bus, "follow", lambda: follow() if tried else Broken())
    await hub.start()
    await bring(bus, "sea", State.ERROR)
    await eventually(lambda: _state(hub, "sea") is State.ERROR)
    assert tried
    await hub.aclose()


async def test_who_may_not_look_is_told_at_the_start(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is left running."""

    def denied() -> Any:
        raise AccessDenied("never")

    monkeypatch.setattr(bus, "follow", denied)
    hub = Hub(bus)
    with pytest.raises(AccessDenied):
        await hub.start()
    await hub.aclose()


async def test_the_strip_is_sent_when_something_in_it_is_news(hub: Hub, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of state is; that time has passed is only now and then."""
    number = hub.fleet[1]
    assert not hub._refresh_strip()
    await bring(bus, "sea", State.ERROR)
    await eventually(lambda: _state(hub, "sea") is State.ERROR)
    assert hub._refresh_strip()
    monkeypatch.setattr("tidings.workers.gateway.hub.RENEW_S", 0.0)
    assert hub._refresh_strip()
    assert hub.fleet[1] >= number + 2


def _state(hub: Hub, session: str) -> State | None:
    entry = hub.ledger.get(session)
    return entry.row.state if entry else None
