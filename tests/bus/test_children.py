"""What is known of the children of a session."""

from __future__ import annotations

from typing import Any

import pytest

from tidings.bus import Bus, ChildState, InvalidMessage, InvalidName, State
from tidings.bus.messages import read_child


async def _note(bus: Bus, session: str, **children: bytes) -> None:
    redis: Any = bus._context.connection.commands
    await redis.hset(bus._context.names.children(session), mapping=dict(children))


def _known(child: str, name: str) -> ChildState:
    return ChildState(child=child, name=name, state=State.RUNNING)


async def test_children_come_by_name(bus: Bus) -> None:
    """Two of one name by their sessions; a session without any has none, also one that is not there."""
    children = [_known("c9", "ann"), _known("c1", "bob"), _known("c2", "bob")]
    await _note(bus, "p", **{child.child: child.model_dump_json().encode() for child in reversed(children)})
    assert await bus.children("p") == tuple(children)
    assert await bus.children("nobody") == ()


async def test_what_cannot_be_read_is_left_out(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """And said in the log, without what it held."""
    await _note(bus, "p", c1=_known("c1", "ann").model_dump_json().encode(), c2=b'{"child":"sk-secret!"}')
    assert [child.child for child in await bus.children("p")] == ["c1"]
    assert [record.message for record in caplog.records] == ["child.unreadable"]
    assert "sk-secret" not in str(caplog.records[0].__dict__)


async def test_only_sessions_have_children(bus: Bus) -> None:
    """A name that is none is an error."""
    with pytest.raises(InvalidName):
        await bus.children("no such name")


def test_what_is_known_of_a_child_is_one_json_object() -> None:
    """Fields of newer versions are left out."""
    assert read_child('{"child":"c","name":"ann","state":"queued","mood":"good"}') == ChildState(
        child="c", name="ann", state=State.QUEUED
    )
    with pytest.raises(InvalidMessage, match="known of a child"):
        read_child(b"[]")
