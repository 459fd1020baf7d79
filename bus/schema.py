"""The schema of session records: its number, and the steps that bring an older hash to it. Pure: no Redis, no clock.

A record says in ``schema`` what wrote it; one that says nothing is of schema 1. Whoever reads an older one sees it as a new one,
and the scripts write the present number with the next change of state. What forces a new number is written in CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bus.errors import InvalidMessage, NewerRecord

SCHEMA = 2
"""The schema that this version writes; ``prelude.lua`` has the same number."""

Fields = dict[bytes, bytes]


def _say_which(fields: Fields) -> Fields:
    """1 -> 2: records say their schema, and a session can be deleted. What was there before kept its name and meaning."""
    return fields


STEPS: Mapping[int, Callable[[Fields], Fields]] = MappingProxyType({1: _say_which})
"""The step from each older schema to the next one."""


def schema_of(fields: Mapping[bytes, bytes]) -> int:
    """Return the schema of a hash.

    Raises:
        InvalidMessage: it is not a number.
    """
    value = fields.get(b"schema", b"1")
    if not value.isdigit() or len(value) > 9 or int(value) < 1:
        raise InvalidMessage("schema: not a number above 0")
    return int(value)


def upgraded(session: str, fields: Mapping[bytes, bytes]) -> Fields:
    """Return the hash of a session as this version would have written it.

    Raises:
        NewerRecord: a newer version wrote it.
        InvalidMessage: its schema is not a number.
    """
    schema = schema_of(fields)
    if schema > SCHEMA:
        raise NewerRecord(session)
    found = dict(fields)
    for number in range(schema, SCHEMA):
        found = STEPS[number](found)
    return found | {b"schema": str(SCHEMA).encode()}
