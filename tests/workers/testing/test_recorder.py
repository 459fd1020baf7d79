"""What was told, as it was published."""

from __future__ import annotations

import asyncio

from tidings.bus import LlmRecovered, Message, Notice, SessionState, State
from tidings.bus.messages import encode
from tidings.workers.testing.recorder import NoticeRecorder


def _recovered(offset: int, session: str = "s") -> Message[LlmRecovered]:
    return Message.of(LlmRecovered(attempt=offset), session=session, source="worker/w1", offset=offset, epoch="e")


def _state(offset: int, to: State) -> Message[SessionState]:
    return Message.of(
        SessionState(to=to, version=offset, why="so"), session="s", source="controller/c1", offset=offset, epoch="e"
    )


def _hear(recorder: NoticeRecorder, *notices: Message[Notice], prefix: str = "") -> None:
    """Have notices arrive as the script that publishes them writes them."""
    for notice in notices:
        payload = encode(notice).removesuffix(b"}") + f',"offset":{notice.offset},"epoch":"e"}}'.encode()
        recorder.receive(f"{prefix}status.{notice.session}", payload)


def test_notices_are_kept_once_in_the_order_of_their_offsets() -> None:
    """What comes a second time, by another pattern of the same connection, is known by its offset."""
    recorder = NoticeRecorder()
    _hear(recorder, _recovered(1), _recovered(1), _recovered(2), _recovered(1, "t"), _recovered(2))
    assert [(notice.session, notice.offset) for notice in recorder.notices] == [("s", 1), ("s", 2), ("t", 1)]
    assert (recorder.offset("s"), recorder.offset("t"), recorder.offset("u")) == (2, 1, 0)


def test_they_are_found_by_kind_and_session() -> None:
    """The kinds are classes of the bus."""
    recorder = NoticeRecorder()
    _hear(recorder, _recovered(1), _state(2, State.RUNNING), _recovered(1, "t"), _state(3, State.QUEUED))
    assert [notice.session for notice in recorder.told(LlmRecovered)] == ["s", "t"]
    assert [notice.session for notice in recorder.told(LlmRecovered, "t")] == ["t"]
    assert recorder.states("s") == [State.RUNNING, State.QUEUED]
    assert len(recorder.told(Notice)) == 4


def test_only_the_status_plane_tells() -> None:
    """Commands pass, what cannot be read is left out, and a prefix does not matter."""
    recorder = NoticeRecorder()
    recorder.receive("commands.s", b"{}")
    recorder.receive("status.s", b"no JSON")
    _hear(recorder, _recovered(1), prefix="mine:")
    assert [notice.type for notice in recorder.notices] == ["llm.recovered"]


async def test_news_end_a_wait_and_silence_does_too() -> None:
    """Whoever looks again by the clock is woken earlier by anything that is heard, commands too."""
    recorder = NoticeRecorder()
    await recorder.news(0.001)
    waiting = asyncio.create_task(recorder.news(60.0))
    await asyncio.sleep(0)
    recorder.receive("commands.s", b"{}")
    await waiting


async def test_it_is_ready_once_the_server_has_said_so() -> None:
    """Nothing that is told after that is missed."""
    recorder = NoticeRecorder()
    assert not recorder.ready.is_set()
    recorder.on_subscribed()
    await recorder.ready.wait()
