"""The evidence: what the provider recorded, what the witness heard, what the histories hold. Each from a source of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from bus import Bus, Event, Notice, Record, State, UserMessage
from workers.demo.witness import Witness
from workers.provider import Provider, RequestRecord

CATCH_UP_S = 10.0
"""How long the witness may take to hear what was told last."""
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the summary rests on.

    Attributes:
        requests: what the provider recorded, oldest first.
        received: how many requests the provider received.
        notices: what the witness heard, by session, in the order told.
        histories: the events of every session.
        states: the state of every session at the end.
        said: what the demo said in its sessions, in order.
        killed: the worker that was killed; None: the story did not get so far.
    """

    requests: Sequence[RequestRecord]
    received: int
    notices: Mapping[str, Sequence[Notice]]
    histories: Mapping[str, Sequence[Event]]
    states: Mapping[str, State | None]
    said: Mapping[str, Sequence[str]] = field(default_factory=dict)
    killed: str | None = None

    @classmethod
    def nothing(cls) -> Self:
        """Return what is there when it could not be collected."""
        return cls((), 0, {}, {}, {})

    def openings(self) -> dict[str, list[str]]:
        """Return the sessions by the first words of a person in them, by which a prompt tells whose it is."""
        found: dict[str, list[str]] = {}
        for session, events in self.histories.items():
            text = next((event.data.text for event in events if isinstance(event, UserMessage)), None)
            if text is not None:
                found.setdefault(text, []).append(session)
        return found


def opening(request: RequestRecord) -> str:
    """Return the first words of a person in a prompt; '' where there are none."""
    texts = (message.get("content") for message in request.messages if message.get("role") == "user")
    text = next(texts, "")
    return text if isinstance(text, str) else ""


async def collect(
    bus: Bus, provider: Provider, witness: Witness, said: Mapping[str, Sequence[str]], killed: str | None
) -> Evidence:
    """Collect the evidence; nobody works on the sessions any more.

    Raises:
        NotInTime: the witness has not heard what was told.
        TidingsError: the bus failed.
    """
    records = [record async for record in bus.sessions()]
    await witness.until("all that was told is heard", lambda: _heard(witness, records), CATCH_UP_S)
    return Evidence(
        requests=tuple(provider.requests),
        received=int(provider.stats()["requests"]),
        notices={session: tuple(told) for session, told in witness.notices.items()},
        histories={record.session: await _history(bus, record.session) for record in records},
        states={record.session: record.state for record in records},
        said=dict(said),
        killed=killed,
    )


def _heard(witness: Witness, records: Sequence[Record]) -> bool:
    return all(witness.has_heard(record.session, record.status) for record in records)


async def _history(bus: Bus, session: str) -> tuple[Event, ...]:
    events: tuple[Event, ...] = ()
    last = 0
    while page := await bus.history(session, last, _PAGE):
        events += page
        last = page[-1].offset or sys.maxsize
    return events
