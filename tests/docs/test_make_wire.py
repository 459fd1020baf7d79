"""The page of the wire format is written from the code, and is true of a real server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis.asyncio import Redis

from docs import make_wire
from docs.wire_examples import EXAMPLES, on_the_wire
from tests import strategies as draw
from tests.waiting import eventually
from tidings.bus import Bus, LlmRetry, UserMessage, WorkerRef
from tidings.bus import messages as m
from tidings.bus.publisher import publish_notice

PAGE = Path(make_wire.__file__).with_name("wire.md")
TYPES = (*draw.NOTICES, *draw.EVENTS, *draw.COMMANDS)


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes a message or a name writes the page anew: `python docs/make_wire.py`."""
    assert make_wire.main(["--check"]) == 0, capsys.readouterr().err


def test_every_type_has_one_example_that_can_be_read() -> None:
    """The JSON blocks of the page are messages: decoded, they are the examples, each type once."""
    blocks = re.findall(r"^```json\n(\{\n.*?)\n```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    read = [m.decode(model.plane, block) for model, block in zip(TYPES, blocks, strict=True)]
    assert read == [EXAMPLES[model] for model in TYPES]
    assert [type(message.data) for message in read] == list(TYPES)


async def test_a_reader_with_nothing_but_redis_finds_what_the_page_says(real_url: str) -> None:
    """Channels, streams and the record hold the very bytes of the examples, under the names of the page."""
    retry, said = EXAMPLES[LlmRetry], EXAMPLES[UserMessage]
    assert isinstance(retry.data, LlmRetry)
    assert isinstance(said.data, UserMessage)
    async with Bus.connect(real_url) as bus, Redis.from_url(real_url) as redis, redis.pubsub() as pubsub:
        await pubsub.psubscribe("status.*")
        await pubsub.subscribe("events.demo")
        claim = await bus.worker.claim(WorkerRef(name="w1"), session="demo", create=True)
        assert claim is not None
        offset, _ = await publish_notice(bus._context, retry)
        await claim.append(said, after=0)

        retry = retry.model_copy(update={"offset": offset, "epoch": claim.epoch})
        said = said.model_copy(update={"offset": 1, "epoch": claim.epoch})
        assert await redis.xrange("{0}:events.demo") == [(b"1-0", {b"id": said.id.encode(), b"m": on_the_wire(said)})]
        newest = await redis.xrevrange("{0}:status.demo", count=1)
        assert newest == [(f"{offset}-0".encode(), {b"id": retry.id.encode(), b"m": on_the_wire(retry)})]
        assert await redis.hget("{0}:session.demo", "last") == on_the_wire(retry)
        assert await redis.hget("{0}:sessions", "demo") == b"running"

        heard: dict[bytes, bytes] = {}

        async def all_heard() -> bool:
            message = await pubsub.get_message(timeout=0.05)
            if message and message["type"] in ("message", "pmessage"):
                heard[message["channel"]] = message["data"]
            return heard == {b"status.demo": on_the_wire(retry), b"events.demo": on_the_wire(said)}

        await eventually(all_heard, message="both messages on their channels, byte for byte")
