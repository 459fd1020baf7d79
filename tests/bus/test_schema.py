"""Records of other versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus.errors import InvalidMessage, NewerRecord
from bus.records import parse_record
from bus.redis import scripts
from bus.schema import SCHEMA, STEPS, schema_of, upgraded
from bus.states import State

STORED: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "records_of_schema_1.json").read_text())
"""Hashes as the last version without a schema has written them."""


def fields(session: str) -> dict[bytes, bytes]:
    """Return a stored hash as redis-py gives it."""
    return {name.encode(): value.encode() for name, value in STORED[session].items()}


def test_every_older_schema_has_a_step() -> None:
    """There is a way from each to the present one."""
    assert set(STEPS) == set(range(1, SCHEMA))


def test_the_scripts_write_the_same_number() -> None:
    """Python and Lua cannot drift apart."""
    assert f"\nlocal SCHEMA = {SCHEMA}\n" in scripts.source("claim")


@pytest.mark.parametrize("session", STORED)
def test_a_record_of_schema_1_is_upgraded(session: str) -> None:
    """It says the present schema, and nothing that stood there is lost."""
    before = fields(session)
    assert b"schema" not in before
    after = upgraded(session, before)
    assert after == before | {b"schema": str(SCHEMA).encode()}
    assert upgraded(session, after) == after


@pytest.mark.parametrize(
    ("session", "state", "held"),
    [
        ("queued", State.QUEUED, False),
        ("held", State.RUNNING, True),
        ("parked", State.RATE_LIMITED, False),
        ("awaiting", State.AWAITING_INPUT, False),
    ],
)
def test_a_record_of_schema_1_is_read(session: str, state: State, held: bool) -> None:
    """With all that it said."""
    record = parse_record(session, fields(session))
    assert record is not None
    assert (record.state, record.held, record.schema) == (state, held, SCHEMA)
    assert record.epoch == STORED[session]["epoch"]
    assert record.token == int(STORED[session]["token"])
    assert record.last is not None
    assert record.last.session == session


def test_a_newer_record_is_told_as_such() -> None:
    """Whatever else stands there: this process must not guess."""
    newer = fields("queued") | {b"schema": str(SCHEMA + 1).encode(), b"state": b"dreaming"}
    with pytest.raises(NewerRecord, match="update this process") as caught:
        parse_record("queued", newer)
    assert caught.value.session == "queued"


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"0", b"1.5", b"9" * 30])
def test_a_schema_that_is_no_number_is_refused(value: bytes) -> None:
    """And not quoted."""
    with pytest.raises(InvalidMessage, match="schema: not a number"):
        schema_of({b"schema": value})
