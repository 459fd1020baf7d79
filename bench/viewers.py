"""How quickly the gateway tells many viewers, and what each of them costs, beside a bare sse-starlette stream in the same run.

    python -m bench.viewers [--viewers N] [--messages N] [--rounds N] [--json] [--quick]

Both stand on one Redis and hear the same notices, published by us. In each round each of them is a fresh process; the order turns
round with each round. First the viewers only look: what the process has grown by since it was ready, divided by their number, is
the memory of an idle viewer. Then notices are published one by one, each for another session, and each viewer notes when it came.
The time is taken from before the publish, so it contains Redis; the viewers live in one process with the publisher, which costs
both servers alike. Ratios are taken within a round. What is lost fails the run; no figure does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.audience import MARK, audience
from tidings.bus import Bus, LlmRetry, Reason, WorkerRef
from tidings.bus.redis.embedded import EmbeddedServer

VIEWERS, MESSAGES, ROUNDS = 1000, 60, 5
PAUSE_S = 0.15
"""Seconds between two notices, at least; the next one does not wait behind the frames of the one before."""
SETTLE_S = 2.0
SESSIONS = 8
GOAL = 1.3
"""Issue 4: p99, and the memory of an idle viewer, not over 1.3 times the bare stream's."""
_TOKEN = "bench-token-of-no-worth-0123456789"
_READY_S = 30.0
_TAKES_S = 30.0


@dataclass(frozen=True)
class Turn:
    """What one server did in one round.

    Attributes:
        p50_ms, p99_ms: from publish to a viewer, over all viewers and notices.
        idle_kb: memory of an idle viewer in KiB.
        cpu_us: CPU time of the server for one frame of one viewer, in microseconds.
        idle_cpu_percent: of one CPU, with all viewers and no news.
    """

    p50_ms: float
    p99_ms: float
    idle_kb: float
    cpu_us: float
    idle_cpu_percent: float


@dataclass(frozen=True)
class Contestant:
    """A server to start: its command line for a Redis and a port, the stream to look at, the token it wants."""

    name: str
    command: Callable[[str, int], Sequence[str]]
    path: str
    token: str = ""


GATEWAY = Contestant(
    "gateway",
    lambda url, port: [sys.executable, "-m", "tidings", "gateway", "--redis", url, "--port", str(port)],
    "/api/stream",
    _TOKEN,
)
BARE = Contestant("bare", lambda url, port: [sys.executable, "-m", "bench.bare_stream", url, str(port)], "/stream")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _running(contestant: Contestant, url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    port = _free_port()
    environment = {**os.environ, "TIDINGS_TOKEN": _TOKEN}
    program, *arguments = contestant.command(url, port)
    process = await asyncio.create_subprocess_exec(
        program, *arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        await _listening(process, port)
        yield process, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await process.wait()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    end = time.monotonic() + _READY_S
    while time.monotonic() < end:
        if process.returncode is not None:
            raise RuntimeError(f"a server ended with {process.returncode} before it listened")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise RuntimeError(f"a server did not listen within {_READY_S:g} s")


def _memory_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1])
    raise RuntimeError("the kernel does not tell how much memory a process has")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _turn(contestant: Contestant, bus: Bus, url: str, viewers: int, messages: int) -> Turn:
    async with _running(contestant, url) as (process, port):
        async with audience(port, contestant.path, contestant.token, 1):
            await asyncio.sleep(SETTLE_S)
        before_kb = _memory_kb(process.pid)
        async with audience(port, contestant.path, contestant.token, viewers) as tally:
            await asyncio.sleep(SETTLE_S)
            idle_kb, idle_from, idle_cpu = _memory_kb(process.pid) - before_kb, time.monotonic(), _cpu_s(process.pid)
            await asyncio.sleep(SETTLE_S)
            idle_percent = 100 * (_cpu_s(process.pid) - idle_cpu) / (time.monotonic() - idle_from)
            cpu_s = _cpu_s(process.pid)
            for number in range(messages):
                tally.sent[number] = time.monotonic()
                await bus.publish(f"s{number % SESSIONS}", _notice(number), source="bench")
                await _arrived(tally.delays, number, viewers)
            cpu_s = _cpu_s(process.pid) - cpu_s
            if tally.lost:
                raise RuntimeError(f"{tally.lost} viewers were thrown out")
        delays = sorted(delay * 1000 for delays in tally.delays.values() for delay in delays)
    return Turn(
        p50_ms=statistics.median(delays),
        p99_ms=delays[int(len(delays) * 0.99)],
        idle_kb=idle_kb / viewers,
        cpu_us=cpu_s / (messages * viewers) * 1e6,
        idle_cpu_percent=idle_percent,
    )


def _notice(number: int) -> LlmRetry:
    return LlmRetry(
        model="openai/bench", reason=Reason.RATE_LIMIT, attempt=1, max_attempts=6, message=f"{MARK.decode()}{number:06}"
    )


async def _arrived(delays: dict[int, list[float]], number: int, viewers: int) -> None:
    """Wait until all viewers have a notice, and for the pause between two."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while len(delays.get(number, ())) < viewers:
        if loop.time() > began + _TAKES_S:
            raise RuntimeError(f"notice {number} came to {len(delays.get(number, ()))} of {viewers} viewers")
        await asyncio.sleep(0.005)
    await asyncio.sleep(max(0.0, began + PAUSE_S - loop.time()))


async def measure(viewers: int, messages: int, rounds: int) -> dict[str, list[Turn]]:
    """Have both take turns; returns their turns by name, one a round."""
    turns: dict[str, list[Turn]] = {GATEWAY.name: [], BARE.name: []}
    async with EmbeddedServer() as server, Bus.connect(server.url) as bus:
        for number in range(SESSIONS):
            await bus.worker.claim(WorkerRef(name="bench"), session=f"s{number}", create=True, lease_s=3600)
        for number in range(rounds):
            for contestant in (GATEWAY, BARE) if number % 2 == 0 else (BARE, GATEWAY):
                print(f"round {number + 1} of {rounds}: {contestant.name}", file=sys.stderr)
                turns[contestant.name].append(await _turn(contestant, bus, server.url, viewers, messages))
    return turns


def summary(turns: dict[str, list[Turn]]) -> dict[str, dict[str, float]]:
    """Return for each figure both medians, the median of the ratios within the rounds, and its range."""
    result = {}
    for name in Turn.__dataclass_fields__:
        ours, theirs = ([getattr(turn, name) for turn in turns[one.name]] for one in (GATEWAY, BARE))
        ratios = [mine / other if other else float("nan") for mine, other in zip(ours, theirs, strict=True)]
        result[name] = {
            "gateway": statistics.median(ours),
            "bare": statistics.median(theirs),
            "ratio": statistics.median(ratios),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
        }
    return result


_ROWS = (
    ("p50_ms", "publish to frame, median, ms", None),
    ("p99_ms", "publish to frame, p99, ms", GOAL),
    ("idle_kb", "memory of an idle viewer, KiB", GOAL),
    ("cpu_us", "CPU of a frame, µs", None),
    ("idle_cpu_percent", "CPU with idle viewers, % of one", None),
)


def table(figures: dict[str, dict[str, float]], viewers: int, rounds: int) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        f"| {viewers:,} viewers, median of {rounds} rounds | gateway | bare | ratio | lowest to highest | goal |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, title, goal in _ROWS:
        row = figures[name]
        spread = f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}"
        goal_text = "" if goal is None else f"{goal:g}"
        lines.append(f"| {title} | {row['gateway']:.1f} | {row['bare']:.1f} | {row['ratio']:.2f} | {spread} | {goal_text} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description="The gateway beside a bare stream.")
    parser.add_argument("--viewers", type=int, default=VIEWERS)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="one small round: shows that it runs, measures nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if min(options.viewers, options.messages, options.rounds) < 1:
        parser.error("there must be at least one viewer, message and round")
    viewers, messages, rounds = (20, 5, 1) if options.quick else (options.viewers, options.messages, options.rounds)
    turns = asyncio.run(measure(viewers, messages, rounds))
    figures = summary(turns)
    if options.json:
        all_turns: dict[str, Any] = {name: [asdict(turn) for turn in some] for name, some in turns.items()}
        print(json.dumps({"viewers": viewers, "messages": messages, "rounds": rounds, "figures": figures, "turns": all_turns}))
    else:
        print(table(figures, viewers, rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
