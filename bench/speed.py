"""How quick the bus is: publish, receive, replay, claim, and from a claim and a command to the model, beside redis-py alone.

    python -m bench.speed [--json] [--json-file FILE] [--quick] [--only CASE]... [--rounds N] [--markdown FILE]

Ours and redis-py take turns on one server of our own, started for the run and empty for each load; what is compared is the median
of the ratios (`bench.turns`). Each case says in its module what stands beside it and why that is fair. No figure fails the run; a
message that is lost, or a case that cannot run, does. In full it takes less than two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import claim, claimed_request, first_request, publish, receive, replay
from bench.case import Case, Load
from bench.cpus import pinned
from bench.plain import plain_client
from bench.report import Row, document, machine, page
from bench.turns import compare, take_turns
from tidings.bus.redis.embedded import EmbeddedServer

CASES = (publish.CASE, receive.CASE, replay.CASE, claim.CASE, claimed_request.CASE, first_request.CASE)
ROUNDS = 9
BUDGET_S = 4.5
"""Seconds of one load, its uncounted round included; there are eighteen."""


async def measure(case: Case, load: Load, rounds: int, budget_s: float) -> list[Row]:
    """Run one case under one load, on a server of its own."""
    async with EmbeddedServer() as server:
        with pinned(server.pid, together=load.alone) as cpus:
            async with case.contestants(server.url, load) as contestants:
                timings = await take_turns(contestants, rounds, budget_s)
    return [Row(case, load, ours, reference, cpus, compare(timings[ours], timings[reference])) for ours, reference in case.pairs]


async def measure_all(cases: Sequence[Case], rounds: int, *, quick: bool) -> tuple[list[Row], dict[str, Any]]:
    """Run the cases; returns the rows, and what they are from."""
    about = machine(await _server())
    rows: list[Row] = []
    for case in cases:
        for load in case.loads:
            print(f"{case.name}: {_words(load)}", file=sys.stderr)
            rows += await measure(case, load.quick() if quick else load, rounds, 0.0 if quick else BUDGET_S)
    return rows, about


async def _server() -> Mapping[str, Any]:
    async with EmbeddedServer() as server, plain_client(server.url) as client:
        found: Mapping[str, Any] = await client.info("server")
    return found


def _words(load: Load) -> str:
    size = "" if load.size is None else f"{load.size} bytes, "
    return f"{size}one by one" if load.alone else f"{size}{load.tasks} at a time"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description="The bus beside redis-py alone.")
    parser.add_argument("--only", action="append", choices=[case.name for case in CASES], help="this case (repeatable)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"most rounds of a case (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="one small round of each: shows that it runs, measures nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    parser.add_argument("--json-file", type=Path, metavar="FILE", help="also write that object into a file")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the page that is docs/performance.md")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.markdown and (options.quick or options.only):
        parser.error("--markdown writes a page of all cases, measured in full")
    for file in filter(None, (options.markdown, options.json_file)):
        if not file.absolute().parent.is_dir():
            parser.error(f"{file}: there is no folder {file.parent}")
    cases = [case for case in CASES if not options.only or case.name in options.only]
    rows, about = asyncio.run(measure_all(cases, options.rounds, quick=options.quick))
    if options.markdown:
        options.markdown.write_text(document(rows, about), encoding="utf-8")
    told = json.dumps({"machine": about, "quick": options.quick, "rows": [row.as_json() for row in rows]})
    if options.json_file:
        options.json_file.write_text(told + "\n", encoding="utf-8")
    if options.json:
        print(told)
    else:
        print(page(rows, about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
