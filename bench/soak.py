"""Whether a worker and a controller grow with the sessions that they have seen: thousands, each asked and answered once.

    python -m bench.soak [--sessions N] [--json]

A server, a controller and a worker as processes of their own, and a provider here that refuses some calls: one in ten with a
short wait, one in ten with a failure of its own, one in twenty-five with a wait that parks the session. Between batches, when
nothing is under way, both processes are read (`bench.growth.Reading`). The exit code is 1 if a session was not answered exactly
once, or if a process grew by more than its bounds; a run of fewer than 1,000 sessions is too short to judge that. It needs
Linux's /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.growth import BOUND_BLOCKS, BOUND_BYTES, Growth, Reading, Sample, growth
from bench.plain import plain_client
from bench.report import machine
from bench.subject import Subject, SubjectLost, subject
from tidings.bus import AgentMessage, Bus, SessionStart, State, UserMessage
from tidings.bus.redis.embedded import EmbeddedServer
from tidings.workers.provider import Fault, Provider, ProviderSettings
from tidings.workers.testing import processes

SESSIONS = 2000
ROLES = ("worker", "controller")
_LEAST, _LONGEST = 20, 100_000
_BATCH, _FEWEST, _MOST = 100, 5, 20
"""Sessions between two readings, and how many readings there are; the first fifth is for warming up."""
_JUDGED = 1000
"""Sessions from which on growth can be told from the steps in which memory is taken."""
_AT_A_TIME = 32
"""Sessions begun and not yet answered: twice the slots of the worker, so that some queue."""
_PATIENCE_S = 120.0
_LOOK_S = 0.05
_RESTING = (State.AWAITING_INPUT, State.ERROR)
_SETTLE_S = 0.3
"""What a worker does after the answer is known: the release, the end of its tasks."""
_SETTINGS: Mapping[str, object] = {
    "model": "openai/soak",
    "concurrency": 16,
    "poll_s": 0.5,
    "drain_timeout_s": 1.0,
    "llm_timeout_s": 60.0,
    "lease_s": 10.0,
    "renew_s": 1.0,
    "backoff_base_s": 0.1,
    "backoff_cap_s": 0.5,
    "max_inline_wait_s": 1.0,
    "park_base_s": 2.0,
    "park_cap_s": 8.0,
}


@dataclass
class Soaked:
    """What a run found.

    Attributes:
        sessions: how many were begun.
        warm_up: how many of them do not count for the growth.
        samples: the readings.
        calls: requests at the provider, by how they ended.
        parked: sessions that were parked in between.
        problems: sessions that were not answered exactly once, with what was found instead.
        about: the machine.
        seconds: how long it took.
    """

    sessions: int
    warm_up: int
    samples: list[Sample] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    parked: int = 0
    problems: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def growths(self) -> dict[str, Growth]:
        """What each session cost each process."""
        return {role: growth(self.samples, role, self.warm_up) for role in ROLES}

    @property
    def judged(self) -> bool:
        """Whether the run is long enough for a verdict on growth."""
        return self.sessions >= _JUDGED

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        return not self.problems and not (self.judged and not all(grown.bounded for grown in self.growths.values()))

    def as_json(self) -> dict[str, Any]:
        """Return it with stable field names."""
        return {
            "machine": self.about,
            "sessions": self.sessions,
            "warm_up": self.warm_up,
            "seconds": round(self.seconds, 1),
            "calls": self.calls,
            "parked": self.parked,
            "samples": [asdict(sample) for sample in self.samples],
            "growth": {role: grown.as_json() for role, grown in self.growths.items()},
            "bounds": {"bytes_each": BOUND_BYTES, "blocks_each": BOUND_BLOCKS},
            "judged": self.judged,
            "problems": self.problems,
            "good": self.good,
        }


async def soak(sessions: int) -> Soaked:
    """Run so many sessions and read the processes in between.

    Raises:
        SubjectLost: one of them ended or hangs.
        TimeoutError: a session is not answered for two minutes.
    """
    found = Soaked(sessions, warm_up=sessions // 5)
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedServer())
        found.about = machine(await _info(server.url))
        # Every request is recorded: the count of answers rests on it.
        provider = await stack.enter_async_context(Provider(ProviderSettings(request_log=4 * sessions + 100)))
        bus = await stack.enter_async_context(Bus.connect(server.url))
        variables = environment(server.url, provider.base_url)
        subjects = [await stack.enter_async_context(subject(role, variables)) for role in ROLES]
        for batch in _batches(sessions):
            await _answer_all(bus, provider, batch, found)
            found.samples.append(await _sample(batch.stop, subjects))
            print(f"{batch.stop} of {sessions} sessions", file=sys.stderr)
        found.problems += _wrong_calls(provider, sessions)
        found.calls = dict(Counter(str(record.status) for record in provider.requests))
    found.seconds = time.monotonic() - started
    return found


def environment(url: str, base_url: str, **settings: object) -> dict[str, str]:
    """Return the environment for the processes.

    Args:
        url: address of the Redis.
        base_url: address of the provider.
        settings: in place of those of the soak.
    """
    return processes.environment({**_SETTINGS, "redis_url": url, "api_base": base_url, **settings})


async def _info(url: str) -> Mapping[str, Any]:
    async with plain_client(url) as client:
        found: Mapping[str, Any] = await client.info("server")
    return found


def _batches(sessions: int) -> Iterator[range]:
    count = min(max(sessions // _BATCH, _FEWEST), _MOST)
    ends = [sessions * number // count for number in range(count + 1)]
    return (range(first, last) for first, last in pairwise(ends))


async def _answer_all(bus: Bus, provider: Provider, batch: range, found: Soaked) -> None:
    """Begin the sessions of a batch, some at a time, and wait until each is answered."""
    slots = asyncio.Semaphore(_AT_A_TIME)

    async def one(number: int) -> None:
        async with slots, asyncio.timeout(_PATIENCE_S):
            if await _answer(bus, provider, number):
                found.parked += 1
            found.problems += await _wrong_history(bus, number)

    async with asyncio.TaskGroup() as group:
        for number in batch:
            group.create_task(one(number))


async def _answer(bus: Bus, provider: Provider, number: int) -> bool:
    """Take one session to the end of its turn; returns whether it was parked on the way."""
    parked = False
    provider.script(*_trouble(number))
    await bus.send(_name(number), SessionStart(text=_text(number)), _PATIENCE_S)
    while True:
        record = await bus.status(_name(number))
        parked = parked or (record.state is State.RATE_LIMITED and record.worker is None)
        if record.state in _RESTING:
            return parked
        await asyncio.sleep(_LOOK_S)


def _trouble(number: int) -> list[Fault]:
    """Return what the provider does wrong in a session."""
    said = f"contains={_text(number)}"
    if number % 25 == 11:
        return [Fault.parse(f"429:retry-after=2,{said}")]
    if number % 10 == 3:
        return [Fault.parse(f"429:retry-after=0.2,{said}")]
    return [Fault.parse(f"503:{said}")] if number % 10 == 7 else []


def _name(number: int) -> str:
    return f"soak-{number:06}"


def _text(number: int) -> str:
    return f"What is {number:06}?"


async def _wrong_history(bus: Bus, number: int) -> list[str]:
    """Return what is wrong with the history of a session: a question and an answer is what belongs there."""
    kinds = [type(event) for event in await bus.history(_name(number))]
    if kinds == [UserMessage, AgentMessage]:
        return []
    record = await bus.status(_name(number))
    return [f"{_name(number)} ({record.state}: {record.why}): {', '.join(kind.__name__ for kind in kinds) or 'nothing'}"]


def _wrong_calls(provider: Provider, sessions: int) -> list[str]:
    """Return for which sessions the provider has not generated exactly one answer."""
    answered = Counter(record.messages[-1]["content"] for record in provider.requests if record.outcome == "ok")
    counts = ((_name(number), answered[_text(number)]) for number in range(sessions))
    return [f"{name}: the provider answered {count} times" for name, count in counts if count != 1]


async def _sample(sessions: int, subjects: Sequence[Subject]) -> Sample:
    await asyncio.sleep(_SETTLE_S)
    return Sample(sessions, {each.name: await each.read() for each in subjects})


def page(found: Soaked) -> str:
    """Return what was found as a table that is Markdown and aligns in a terminal, and what it means."""
    headings = ["sessions", *(f"{role} {what}" for role in ROLES for what in ("MiB", "blocks", "tasks", "threads", "fds"))]
    lines = [_line(headings, headings), f"|{'|'.join('-' * (len(text) + 1) + ':' for text in headings)}|"]
    for sample in found.samples:
        cells = [f"{sample.sessions:,}", *(cell for role in ROLES for cell in _cells(sample.readings[role]))]
        lines.append(_line(cells, headings))
    return "\n".join([*lines, "", *_verdict(found)])


def _line(cells: Sequence[str], headings: Sequence[str]) -> str:
    return f"| {' | '.join(cell.rjust(len(text)) for cell, text in zip(cells, headings, strict=True))} |"


def _cells(reading: Reading) -> list[str]:
    return [f"{reading.memory / 2**20:.1f}", f"{reading.blocks:,}", *map(str, (reading.tasks, reading.threads, reading.fds))]


def _verdict(found: Soaked) -> Iterator[str]:
    for role, grown in found.growths.items():
        verdict = ("within" if grown.bounded else "OVER") if found.judged else "too short a run to judge by"
        yield (
            f"{role}: {grown.bytes_each:+,.0f} bytes and {grown.blocks_each:+.2f} blocks for each session after "
            f"{found.warm_up:,}; {verdict} the bounds of {BOUND_BYTES:,} and {BOUND_BLOCKS:g}"
        )
    calls = ", ".join(f"{count:,} answered {status}" for status, count in sorted(found.calls.items()))
    yield f"{found.sessions:,} sessions in {found.seconds:.0f} s; calls: {calls}; {found.parked} parked"
    yield from found.problems or ["every session was answered exactly once"]
    yield (
        f"{found.about['system']} on {found.about['processor']}, {found.about['cpus']} CPUs; "
        f"Python {found.about['python']}, {found.about['server']}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Whether worker and controller grow.")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help=f"sessions (default: {SESSIONS})")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if not _LEAST <= options.sessions <= _LONGEST:
        parser.error(f"--sessions must be {_LEAST} to {_LONGEST}")
    if not Path("/proc/self/status").exists():
        parser.error("processes are measured through /proc, which is not here")
    try:
        found = asyncio.run(soak(options.sessions))
    except SubjectLost as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found.as_json()) if options.json else page(found))
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())
