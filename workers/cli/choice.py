"""Which sessions a command is about: those named, or those that have been in a state for long."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tidings.bus import Bus, Record, State
from tidings.bus.messages import check_session
from tidings.bus.redaction import one_line
from tidings.bus.states import FINAL
from tidings.workers.cli.exits import BadUsage
from tidings.workers.cli.show import parse_states

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGE = re.compile(r"([0-9]{1,6})([smhd])")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which sessions.

    Attributes:
        names: those named; empty where they are chosen by the others.
        older_than: only those that have been in their state for so long; None: for any time.
        states: only those in these states.
    """

    names: tuple[str, ...] = ()
    older_than: timedelta | None = None
    states: frozenset[State] = FINAL

    @classmethod
    def of(cls, names: Sequence[str], older_than: str | None, states: Sequence[str]) -> Choice:
        """Read what was written on the command line.

        Raises:
            BadUsage: it says nothing, or both, or an age or a state cannot be read.
            InvalidName: a name is not a session id.
        """
        chosen = older_than is not None or bool(states)
        if bool(names) == chosen:
            raise BadUsage("name sessions, or choose them with --older-than and --state")
        if names:
            return cls(tuple(dict.fromkeys(check_session(name) for name in names)))
        wanted = parse_states(",".join(states), deleted=False) if states else FINAL
        return cls((), None if older_than is None else parse_age(older_than), wanted)

    def takes(self, record: Record, bus: Bus) -> bool:
        """Return whether a session is among those that were not named."""
        if record.state not in self.states:
            return False
        if self.older_than is None:
            return True
        return record.since is not None and bus.now() - record.since >= self.older_than

    async def sessions(self, bus: Bus) -> AsyncIterator[str]:
        """Yield the ids, those that were chosen in no order."""
        for name in self.names:
            yield name
        if not self.names:
            async for record in bus.sessions():
                if self.takes(record, bus):
                    yield record.session


def parse_age(text: str) -> timedelta:
    """Read an age such as ``90s``, ``15m``, ``12h`` or ``30d``.

    Raises:
        BadUsage: it is not one.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise BadUsage(f"{one_line(text, 40)!r} is not an age: write 90s, 15m, 12h or 30d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
