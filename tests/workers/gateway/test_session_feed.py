"""What those who look at one session share, and what of it is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests import actors
from tests.waiting import eventually
from tests.workers.cli.stage import hold
from tidings.bus import Bus, Unreachable
from tidings.workers.gateway import session_feed as feed_module
from tidings.workers.gateway.session_feed import Feeds
from tidings.workers.gateway.viewers import Viewer


async def test_the_tail_holds_the_newest(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are kept; who is further behind is told to read the log, and who is ahead gets nothing."""
    monkeypatch.setattr(feed_module, "TAIL", 3)
    claim = await hold(bus, "sea")
    feeds, viewer = Feeds(bus), Viewer()
    feed = feeds.join("sea", viewer)
    assert feeds.get("sea") is feed is feeds.join("sea", viewer)
    await eventually(lambda: feed.following)
    assert list(feed.events_after(0) or ()) == []
    for offset in range(5):
        await claim.append(actors.answer("sea"), after=offset)
    await eventually(lambda: [stored.offset for stored in feed.events_after(2) or ()] == [3, 4, 5])
    assert feed.events_after(1) is None
    assert [stored.offset for stored in feed.events_after(4) or ()] == [5]
    assert list(feed.events_after(5) or ()) == []
    await feeds.aclose()
    assert len(feeds) == 0


async def test_a_session_that_cannot_be_followed_is_tried_again(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the server is away or something breaks; each time its viewers are told to read the log."""
    monkeypatch.setattr(feed_module, "_AGAIN_S", 0.01)
    await hold(bus, "sea")
    failures: list[Exception] = [Unreachable("away"), ZeroDivisionError()]
    status = bus.status

    async def failing(session: str) -> Any:
        if failures:
            raise failures.pop(0)
        return await status(session)

    monkeypatch.setattr(bus, "status", failing)
    feeds = Feeds(bus)
    feed = feeds.join("sea", Viewer())
    await eventually(lambda: feed.following)
    assert feed.breaks == 3
    assert [record.message for record in caplog.records] == ["gateway.feed_failed"]
    await feeds.aclose()


async def test_leaving_is_at_once_and_twice_is_no_error(bus: Bus) -> None:
    """The last viewer ends the feed, in the background."""
    await hold(bus, "sea")
    feeds, one, other = Feeds(bus), Viewer(), Viewer()
    feeds.join("sea", one)
    feeds.join("sea", other)
    feeds.leave("sea", one)
    assert len(feeds) == 1
    feeds.leave("sea", other)
    feeds.leave("sea", other)
    assert len(feeds) == 0
    await feeds.aclose()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "tidings-feed-sea"]
