"""What the provider saw: each request as a record, and counts of how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from tidings.workers.provider.faults import FaultKind

Outcome = Literal["in_flight", "ok", "refused", "failed", "invalid", "abandoned"]

ROWS_MAX = 1000
"""Pairs of key and model that are counted apart; what comes later is counted together as `OTHER`."""

OTHER = "(other)"

_COUNTED = ("requests", "ok", "refused", "failed", "invalid", "abandoned", "tokens")


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request to `/v1/chat/completions`, as it stands now.

    Attributes:
        number: 1 is the first that this provider received.
        at: When it arrived, in seconds on the provider's monotonic clock.
        key: The masked API key.
        model: The model asked for; empty if the request was not understood.
        messages: The prompt as received, complete.
        stream: Whether a stream was asked for.
        status: The HTTP status answered; None while there is none, and for good if the connection was closed
            without one.
        tokens: What it used, prompt and answer together; 0 if nothing was generated.
        fault: The kind of the scripted failure it met.
        outcome: `ok`; `refused` by the limits; `failed` by script; `invalid` (bad request, unknown key or
            model); `abandoned` by a client that left before the end, or by the provider's end; `in_flight`
            until then.
    """

    number: int
    at: float
    key: str
    model: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    stream: bool = False
    status: int | None = None
    tokens: int = 0
    fault: FaultKind | None = None
    outcome: Outcome = "in_flight"

    def as_json(self) -> dict[str, Any]:
        """Return the record as `GET /requests` shows it."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class Journal:
    """Records and counts. At most `records_max` requests and `bytes_max` bytes of their bodies are kept."""

    def __init__(self, records_max: int, bytes_max: int) -> None:
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._records: dict[int, RequestRecord] = {}
        self._sizes: dict[int, int] = {}
        self._bytes = 0
        self._dropped = 0
        self._seen = 0
        self._in_flight = 0
        self._max_in_flight = 0
        self._total: Counter[str] = Counter()
        self._rows: dict[tuple[str, str], Counter[str]] = {}
        self._faults: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()

    def open(self, key: str, at: float) -> RequestInFlight:
        """Note that a request arrived."""
        self._seen += 1
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)
        entry = RequestInFlight(self, RequestRecord(self._seen, at, key))
        self._keep(entry.record, 0)
        return entry

    def records(self, after: int = 0) -> list[RequestRecord]:
        """Return the records kept, oldest first, of the requests numbered beyond `after`."""
        return [record for number, record in self._records.items() if number > after]

    def statistics(self) -> dict[str, Any]:
        """Return the counts; a request is in one of ok, refused, failed, invalid, abandoned and unsettled."""
        total = self._total
        return {
            "requests": self._seen,
            "ok": total["ok"],
            "refused": total["refused"],
            "failed": {kind: self._faults[kind] for kind in get_args(FaultKind)},
            "invalid": total["invalid"],
            "abandoned": total["abandoned"],
            "unsettled": self._seen - total["requests"],
            "in_flight": self._in_flight,
            "max_in_flight": self._max_in_flight,
            "tokens": total["tokens"],
            "by_status": {str(status): count for status, count in sorted(self._statuses.items())},
            "by_key_and_model": [
                {"key": key, "model": model} | {name: row[name] for name in _COUNTED} for (key, model), row in self._rows.items()
            ],
            "recorded": len(self._records),
            "dropped": self._dropped,
        }

    def update(self, record: RequestRecord, size: int) -> None:
        """Keep a newer version of a record, unless it was dropped; its request body had `size` bytes."""
        if record.number in self._records:
            self._keep(record, size)

    def count(self, record: RequestRecord) -> None:
        """Count how a request ended."""
        for row in (self._total, self._row(record.key, record.model)):
            row.update({"requests": 1, record.outcome: 1, "tokens": record.tokens})
        if record.fault is not None:
            self._faults[record.fault] += 1

    def count_status(self, status: int) -> None:
        """Count an HTTP status that was sent."""
        self._statuses[status] += 1

    def leave(self) -> None:
        """Note that a request is no longer in flight."""
        self._in_flight -= 1

    def _keep(self, record: RequestRecord, size: int) -> None:
        self._bytes += size - self._sizes.get(record.number, 0)
        self._records[record.number] = record
        self._sizes[record.number] = size
        while self._records and (len(self._records) > self._records_max or self._bytes > self._bytes_max):
            oldest = next(iter(self._records))
            del self._records[oldest]
            self._bytes -= self._sizes.pop(oldest)
            self._dropped += 1

    def _row(self, key: str, model: str) -> Counter[str]:
        if (key, model) not in self._rows and len(self._rows) >= ROWS_MAX:
            key = model = OTHER
        return self._rows.setdefault((key, model), Counter())


class RequestInFlight:
    """One request while it is handled. It is settled once; leaving the context unsettled is to abandon it."""

    def __init__(self, journal: Journal, record: RequestRecord) -> None:
        self.record = record
        self._journal = journal
        self._size = 0

    def __enter__(self) -> RequestInFlight:
        return self

    def __exit__(self, *_: object) -> None:
        self.settle("abandoned")
        self._journal.leave()

    def understood(self, model: str, messages: Sequence[dict[str, Any]], *, stream: bool, size: int) -> None:
        """Note what was asked, in a body of `size` bytes."""
        self._size = size
        self._update(replace(self.record, model=model, messages=list(messages), stream=stream))

    def answers(self, status: int) -> None:
        """Note the HTTP status that is about to be sent."""
        self._update(replace(self.record, status=status))
        self._journal.count_status(status)

    def charged(self, tokens: int) -> None:
        """Note what it used."""
        self._update(replace(self.record, tokens=tokens))

    def settle(self, outcome: Outcome, fault: FaultKind | None = None) -> None:
        """Note how it ended; only the first time counts."""
        if self.record.outcome != "in_flight":
            return
        self._update(replace(self.record, outcome=outcome, fault=fault))
        self._journal.count(self.record)

    def _update(self, record: RequestRecord) -> None:
        self.record = record
        self._journal.update(record, self._size)
