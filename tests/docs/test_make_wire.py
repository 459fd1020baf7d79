"""The page of the wire format is written from the code, and is true of a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel, Field
from redis.asyncio import Redis

from bus import Bus, LlmRetry, UserMessage, WorkerRef
from bus import messages as m
from bus.channels import Names
from docs import make_wire
from docs.wire_examples import CURSOR, EPOCH, EXAMPLES, GAP, OUTCOMES, SESSION, on_the_wire
from tests.waiting import eventually
from workers.cli.view import wire_line

PAGE = Path(make_wire.__file__).with_name("wire.md")
TYPES = (*m.NOTICES, *m.EVENTS, *m.COMMANDS)


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes a message or a name writes the page anew: `python docs/make_wire.py`."""
    assert make_wire.main(["--check"]) == 0, capsys.readouterr().err


def test_an_old_page_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The check says what to run; running it writes the page."""
    page = tmp_path / "wire.md"
    page.write_text(PAGE.read_text(encoding="utf-8").replace("llm.retry", "llm.again"), encoding="utf-8")
    monkeypatch.setattr(make_wire, "DOCS", tmp_path)
    assert make_wire.main(["--check"]) == 1
    assert "wire.md; run python docs/make_wire.py" in capsys.readouterr().err
    assert make_wire.main([]) == 0
    assert make_wire.main(["--check"]) == 0


# what is written


def test_every_type_has_one_example_that_can_be_read() -> None:
    """The JSON blocks of the page are messages: decoded, they are the examples, each type once."""
    blocks = re.findall(r"^```json\n(\{\n.*?)\n```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    read = [m.decode(model.plane, block) for model, block in zip(TYPES, blocks, strict=True)]
    assert read == [EXAMPLES[model] for model in TYPES]
    assert [type(message) for message in read] == list(TYPES)


def test_the_examples_are_as_they_are_stored() -> None:
    """They stand in one session, at one place each, and fit each other."""
    assert {(message.subject, message.epoch) for message in EXAMPLES.values()} == {(SESSION, EPOCH)}
    for message in EXAMPLES.values():
        assert m.decode(message.plane, on_the_wire(message)) == message
    places = [(message.plane, message.offset) for message in EXAMPLES.values()]
    assert len(set(places)) == len(places)
    assert EXAMPLES[m.UserMessage].id == f"{EXAMPLES[m.SessionStart].id}.said"
    assert OUTCOMES[0].command_id == EXAMPLES[m.SessionPause].id


def test_a_gap_is_shown_as_the_command_line_prints_it() -> None:
    """The page and `--json` say the same."""
    cursor, gap = make_wire.places().splitlines()[1:-1]
    assert json.loads(gap) == json.loads(wire_line(GAP))
    assert m.Cursor(**json.loads(cursor)) == CURSOR


def test_every_name_is_listed() -> None:
    """All that `Names` can build is in the table, without a prefix and with one."""
    table = make_wire.names()
    for prefix in ("", "acme."):
        names = Names(prefix)
        keys = [names.record("demo"), names.outcome("demo", "<command id>"), names.ready, names.due, names.sessions]
        keys += [names.key("demo", "<digest>"), names.seen, names.presences]
        channels = [names.wake, names.outcomes("demo")]
        per_plane = [build(plane, "demo") for plane in ("status", "events", "commands") for build in (names.channel, names.log)]
        for name in keys + channels + per_plane:
            assert table.count(f"| `{name}` |") == 1


# how it is written


class _Inner(BaseModel):
    pass


class _Odd(BaseModel):
    """Things of every kind.

    Attributes:
        from_: where it begins.
        several, others: one meaning
            for both, ``None`` for none.
        inner: an object.
        anything: a|b.
    """

    from_: int = Field(alias="from")
    several: list[str]
    others: float | None
    inner: _Inner
    anything: object


def test_fields_are_told_with_their_names_on_the_wire() -> None:
    """Aliases, several names in one entry, entries of several lines, and what Markdown would misread."""
    assert make_wire.field_table(_Odd).splitlines()[2:] == [
        "| `from` | integer | where it begins. |",
        "| `several` | list | one meaning for both, `null` for none. |",
        "| `others` | number or null | one meaning for both, `null` for none. |",
        "| `inner` | object | an object. |",
        "| `anything` | any | a\\|b. |",
    ]


class _Silent(BaseModel):
    """A model that says nothing of its field."""

    mystery: int


def test_a_field_without_a_word_is_an_error() -> None:
    """Whoever adds a field to a message explains it there."""
    with pytest.raises(ValueError, match="what 'mystery' is"):
        make_wire.field_table(_Silent)


def test_only_messages_with_data_have_a_section() -> None:
    """An unknown message has no fields to tell of."""
    with pytest.raises(TypeError, match="UnknownEvent is not a model"):
        make_wire.types([m.UnknownEvent])


# whether it is true


async def test_a_reader_with_nothing_but_redis_finds_what_the_page_says(real_url: str) -> None:
    """Channels, streams and the record hold the very bytes of the examples, under the names of the page."""
    retry, said = EXAMPLES[LlmRetry], EXAMPLES[UserMessage]
    assert isinstance(retry, LlmRetry)
    assert isinstance(said, UserMessage)
    async with Bus.connect(real_url) as bus, Redis.from_url(real_url) as redis, redis.pubsub() as pubsub:
        await pubsub.psubscribe("status.*")
        await pubsub.subscribe("events.demo")
        claim = await bus.claim(WorkerRef(name="w1"), session="demo", create=True)
        assert claim is not None
        offset = await bus.publish(retry)
        await bus.append(claim, [said], after=0)

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
