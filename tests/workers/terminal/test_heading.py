"""What stands above and below the sessions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.waiting import eventually
from tests.workers.cli.stage import waiting
from tidings.bus import Bus, Progress, Reason, State, Wait
from tidings.workers.terminal.feed import Feed
from tidings.workers.terminal.heading import connection, count, counts, status
from tidings.workers.terminal.layout import Moment
from tidings.workers.view import LOOKS, NEEDS_YOU, SessionView

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RUNNING = SessionView("demo", state=State.RUNNING, why="taken up by a worker", model="openai/x", worker="w1")
LIMITED = replace(RUNNING, state=State.RATE_LIMITED, reason=Reason.RATE_LIMIT, message="slow down", waits=(waiting(NOW),))
PARKED = SessionView("demo", state=State.RATE_LIMITED, reason=Reason.RATE_LIMIT, resume_at=NOW + timedelta(minutes=5))

ASKED = replace(LIMITED, state=State.RUNNING, reason=None, waits=(waiting(NOW).model_copy(update={"asked_at": NOW}),))
OUTAGE = replace(
    PARKED,
    state=State.RETRYING,
    reason=Reason.SERVER_ERROR,
    waits=(Wait(reason=Reason.SERVER_ERROR, attempt=6, max_attempts=6),),
    message="bad gateway",
    action="Look at the status page.",
    model="openai/x",
)
HANDED_BACK = replace(LIMITED, worker="", waits=(waiting(NOW, attempt=1),), resume_at=NOW + timedelta(seconds=8))


async def test_the_connection_is_said_in_words(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting, connected, lost, and how often it was lost."""
    async with Feed(memory_bus) as feed:
        assert connection(memory_bus, feed, "status.*").plain.startswith("status.*  connecting")
        await eventually(lambda: memory_bus.connected)
        assert connection(memory_bus, feed, "status.*").plain.startswith("status.*  connected")
        for times, text in ((1, "connected  lost once so far"), (3, "connected  lost 3 times so far")):
            monkeypatch.setattr(Bus, "reconnects", times)
            assert text in connection(memory_bus, feed, "status.*").plain
        monkeypatch.setattr(Bus, "connected", False)
        assert "connection lost, trying again; what is shown" in connection(memory_bus, feed, "status.*").plain


@pytest.mark.parametrize(
    ("rows", "wanted", "text"),
    [
        ([], "", "0 sessions"),
        ([RUNNING], "", "1 session  ▸ 1 running"),
        ([RUNNING, replace(RUNNING, session="other", state=State.ERROR)], "", "2 sessions  ✗ 1 error needs you  ▸ 1 running"),
        ([replace(RUNNING, session=name, state=State.ERROR) for name in "ab"], "", "2 sessions  ✗ 2 error need you"),
        ([RUNNING], "[b]\x1b[2J", "1 of 1 session with “[b]”  ▸ 1 running"),
    ],
)
def test_sessions_are_counted(rows: list[SessionView], wanted: str, text: str) -> None:
    """By their look, what needs a person first; with a filter, how many it leaves."""
    assert counts(count(rows), len(rows), len(rows), wanted).plain == text


def test_where_there_are_no_signs_letters_do() -> None:
    """In the numbers and in the status."""
    assert counts(count([RUNNING]), 1, 1, "", ascii_only=True).plain == "1 session  > 1 running"
    assert status(RUNNING, "demo", Moment(NOW, ascii_only=True)).plain.startswith("> running")


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (RUNNING, "▸ running\ntaken up by a worker\nopenai/x   on w1"),
        (replace(RUNNING, progress=Progress(doing="compiling", done=3, total=8)), "▸ running\ncompiling 3/8\nopenai/x   on w1"),
        (LIMITED, "◔ rate limited   attempt 2 of 6 failed   next try in 8s\nrate limit · slow down\nopenai/x   on w1"),
        (PARKED, "◑ parked   goes on in 5m 00s   no worker\nrate limit · it goes on by itself; resume it to try at once\n"),
        (ASKED, "▸ running   attempt 3 of 6 under way\nafter rate limit · slow down\nopenai/x   on w1"),
        (
            OUTAGE,
            "↺ retrying later   attempt 6 of 6 failed   goes on in 5m 00s   no worker\n"
            "server error · bad gateway · Look at the status page.\nopenai/x",
        ),
        (
            HANDED_BACK,
            "◑ parked   attempt 1 of 6 failed   next try in 8s   no worker\n"
            "rate limit · slow down · it goes on by itself; resume it to try at once\nopenai/x",
        ),
        (None, "nothing is known of demo so far\n\n"),
    ],
)
def test_the_status_has_three_lines(row: SessionView | None, text: str) -> None:
    """Always as many, so that nothing jumps."""
    assert status(row, "demo", Moment(NOW)).plain == text


def test_sessions_are_counted_by_their_look() -> None:
    """The most urgent first; those that wait for a person are counted apart from those that wait for a time."""
    quota = SessionView("zurich", state=State.RATE_LIMITED, reason=Reason.QUOTA_EXHAUSTED, message="out of quota")
    running = [SessionView(name, state=State.RUNNING) for name in ("a", "b")]
    found = count([*running, quota, SessionView("c", state=State.ERROR), SessionView("new")])
    assert [(one.look, one.number, one.need_you) for one in found] == [
        (NEEDS_YOU, 1, True),
        (LOOKS[State.ERROR], 1, True),
        (LOOKS[State.RUNNING], 2, False),
    ]
