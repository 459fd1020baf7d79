"""What `import tidings.bus` and `tidings --help` cost in CPU time, beside a bare Python and our dependencies alone.

    python bench/imports.py [--rounds N] [--json]

Each figure is the median of N fresh processes (user + system time as the kernel counts it for that process).
The cases take turns in every round, so that a change in the machine's speed meets all of them; one round
before the count fills the byte-code caches. Figures never fail the run, a case that cannot run does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# The folder from which `tidings` is imported when it is not installed.
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Case:
    """One program to start: its name, its Python, its arguments, the goal in milliseconds if there is one."""

    name: str
    code: str
    arguments: tuple[str, ...] = ()
    goal_ms: float | None = None


@dataclass(frozen=True)
class Cost:
    """CPU time of one case in milliseconds, over all rounds."""

    name: str
    median_ms: float
    min_ms: float
    max_ms: float
    over_bare_ms: float
    goal_ms: float | None


# A command line answers `--help` at once, and a library is cheap to import: the goals are what we promise.
CASES = (
    Case("python -c pass", "pass"),
    Case("import redis.asyncio, pydantic", "import redis.asyncio, pydantic"),
    Case("import tidings.bus", "import tidings.bus", goal_ms=250),
    Case("tidings --help", "from tidings.workers.cli import main; main()", ("--help",), goal_ms=500),
)


def cpu_ms(case: Case) -> float:
    """Run one case in a fresh process and return its user + system time in milliseconds.

    Raises:
        RuntimeError: The process failed; the text has what it wrote to stderr.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", case.code, *case.arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr as stderr:
        complaint = stderr.read()
    # wait4 is the only call that gives the usage of this one child.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{case.name} ended with {process.returncode}:\n{complaint}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def measure(cases: Sequence[Case], rounds: int) -> list[Cost]:
    """Run every case once uncounted and then `rounds` times in turn; the first case is the bare Python."""
    for case in cases:
        cpu_ms(case)
    samples: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            samples[case.name].append(cpu_ms(case))
    bare = statistics.median(samples[cases[0].name])
    return [_cost(case, samples[case.name], bare) for case in cases]


def _cost(case: Case, samples: Sequence[float], bare_ms: float) -> Cost:
    median = statistics.median(samples)
    return Cost(
        name=case.name,
        median_ms=round(median, 1),
        min_ms=round(min(samples), 1),
        max_ms=round(max(samples), 1),
        over_bare_ms=round(median - bare_ms, 1),
        goal_ms=case.goal_ms,
    )


def table(costs: Sequence[Cost]) -> str:
    """Return the costs as aligned text."""
    lines = [f"{'CPU time in ms':<32}{'median':>8}{'min':>8}{'max':>8}{'over bare':>11}{'goal':>7}"]
    for cost in costs:
        goal = "" if cost.goal_ms is None else f"{cost.goal_ms:.0f}"
        lines.append(
            f"{cost.name:<32}{cost.median_ms:>8.1f}{cost.min_ms:>8.1f}{cost.max_ms:>8.1f}{cost.over_bare_ms:>11.1f}{goal:>7}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description="CPU time of imports, median of fresh processes.")
    parser.add_argument("--rounds", type=int, default=15, help="processes per case (default: 15)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    costs = measure(CASES, options.rounds)
    python = platform.python_version()
    if options.json:
        cases = [asdict(cost) for cost in costs]
        print(json.dumps({"python": python, "rounds": options.rounds, "cases": cases}))
    else:
        print(table(costs))
        print(f"Python {python}, median of {options.rounds} processes a case, in turn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
