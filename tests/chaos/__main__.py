"""`python -m tests.chaos`: runs with faults, and what a checker says of them. `make chaos` is the short way."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from tests.chaos.checker import check
from tests.chaos.faults import Family
from tests.chaos.run import Plan, run
from tests.chaos.server import Durability
from tests.servers import redis_binary, valkey_binary
from tidings.workers.testing.tied import end_with

SECONDS = 8.0
_GRACE_S = 240.0


def main(arguments: Sequence[str]) -> int:
    """Do the runs that are asked for; returns 0 where none found anything."""
    options = _parser().parse_args(arguments)
    if options.tied:
        threading.Thread(target=end_with, args=(0,), name="chaos-tie", daemon=True).start()
    if options.runs == 1 and len(options.mode) == 1 and len(options.family) == 1:
        return _one(options)
    return _many(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Runs with faults, held against what is promised.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long faults happen in a run")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the first run; each further one has the next; without one: any"
    )
    parser.add_argument(
        "--mode", type=_modes, default=list(Durability), help="durability: always, everysec, rdb, none; or several"
    )
    parser.add_argument(
        "--family", type=_families, default=[Family.ALL], help="faults: network, server, process, all; or several"
    )
    parser.add_argument("--runs", type=int, default=1, help="runs of each mode and family")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--valkey", action="store_true", help="on Valkey in place of redis-server")
    parser.add_argument("--folder", type=Path, default=None, help="where runs are recorded")
    parser.add_argument("--tied", action="store_true", help="end when standard input does")
    return parser


def _modes(text: str) -> list[Durability]:
    return [Durability(word) for word in text.split(",")]


def _families(text: str) -> list[Family]:
    return [Family(word) for word in text.split(",")]


# one run


def _one(options: argparse.Namespace) -> int:
    """Do one run in this process; its record is kept where it found something."""
    [durability], [family] = options.mode, options.family
    seed = random.randrange(10**6) if options.seed is None else options.seed
    parent = options.folder or Path(tempfile.gettempdir()) / "tidings-chaos"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{durability}-{family}-{seed}-", dir=parent))
    binary = valkey_binary() if options.valkey else redis_binary() or valkey_binary()
    plan = Plan(seed, durability, family, options.seconds, binary, folder)
    began = time.monotonic()
    entries = asyncio.run(run(plan))
    violations = check(entries)
    kinds = Counter(type(entry).__name__ for entry in entries)
    told = ", ".join(f"{kinds[kind]} {word}" for kind, word in _TOLD.items())
    print(f"{_words(plan, options)}: {told}, {time.monotonic() - began:.0f} s: {_verdict(len(violations))}", flush=True)
    if not violations:
        shutil.rmtree(folder)
        return 0
    print(f"  recorded in {folder}")
    print(f"  again: make chaos {_words(plan, options)}")
    for fault in plan.faults():
        print(f"  {fault}")
    for violation in violations[:20]:
        print(f"  {violation}")
    return 1


_TOLD = {"Appended": "appends", "Answered": "answers", "Delivered": "deliveries", "Fault": "faults"}


def _verdict(count: int) -> str:
    return f"{count} violations" if count else "nothing found"


def _words(plan: Plan, options: argparse.Namespace) -> str:
    server = " SERVER=valkey" if options.valkey else ""
    return f"SECONDS={plan.seconds:g} SEED={plan.seed} MODE={plan.durability} FAMILY={plan.family}{server}"


# many


def _many(options: argparse.Namespace) -> int:
    """Do many runs, each in a process of its own, some side by side; says at the end how many of each found something."""
    first = random.randrange(10**6) if options.seed is None else options.seed
    plans = [(mode, family, first + index) for index, mode, family in product(range(options.runs), options.mode, options.family)]
    found: Counter[tuple[str, bool]] = Counter()
    # Each run reads from this, and ends when we do, however that is.
    tie, ours = os.pipe()
    with ThreadPoolExecutor(options.jobs) as pool:
        for (mode, family, _), failed in zip(plans, pool.map(lambda plan: _apart(options, tie, *plan), plans), strict=True):
            found[f"{mode} {family}", failed] += 1
    os.close(tie)
    os.close(ours)
    for name in sorted({name for name, _ in found}):
        print(f"{name:20} {found[name, False] + found[name, True]:4} runs, {found[name, True]:4} with violations")
    return int(any(failed for _, failed in found))


def _apart(options: argparse.Namespace, tie: int, mode: Durability, family: Family, seed: int) -> bool:
    """Do one run in a process of its own; returns whether it found something."""
    words = [sys.executable, "-m", "tests.chaos", f"--seconds={options.seconds}", f"--seed={seed}", f"--mode={mode}"]
    words += ["--tied", f"--family={family}", *(["--valkey"] if options.valkey else [])]
    words += [f"--folder={options.folder}"] if options.folder else []
    try:
        ended = subprocess.run(words, stdin=tie, capture_output=True, text=True, timeout=options.seconds + _GRACE_S, check=False)
    except subprocess.TimeoutExpired:
        print(f"SEED={seed} MODE={mode} FAMILY={family}: did not end", flush=True)
        return True
    print(ended.stdout, ended.stderr, sep="", end="", flush=True)
    return ended.returncode != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
