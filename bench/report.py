"""What is printed: tables for people, one JSON object for programs, and the machine that the figures are from."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.case import Case, Load
from bench.turns import Comparison

_PACKAGES = ("redis", "hiredis", "pydantic", "litellm")
_HEADINGS = ("Tidings", "redis-py alone", "bytes", "tasks", "Tidings", "redis-py", "speed", "lowest to highest", "rounds")
_INTRODUCTION = """\
# Performance

How quick the bus is, beside redis-py alone in the same run. `make bench` prints such tables and writes the figures into
`bench/speed.json`; `python -m bench.speed --markdown docs/performance.md` wrote this page: run it on a quiet machine, and do not
edit what it wrote. What stands beside what, and why that is fair, is said at the head of each case in `bench/`; how it is
measured, in [bench/README.md](../bench/README.md).

Ratios carry over to other machines, figures do not. What importing costs is another program, `make bench-import`; whether a
worker grows with its sessions a third one, `make soak`.
"""


@dataclass(frozen=True)
class Row:
    """One comparison under one load.

    Attributes:
        case: the case that it belongs to.
        load: the load.
        ours: what of ours was measured.
        reference: beside what.
        cpus: where client and server ran.
        comparison: how it came out.
    """

    case: Case
    load: Load
    ours: str
    reference: str
    cpus: str
    comparison: Comparison

    def as_json(self) -> dict[str, Any]:
        """Return the row with stable field names."""
        comparison = self.comparison
        return {
            "case": self.case.name,
            "ours": self.ours,
            "reference": self.reference,
            "bytes": self.load.size,
            "tasks": self.load.tasks,
            "operations": self.load.operations,
            "cpus": self.cpus,
            "rounds": comparison.rounds,
            "ours_per_s": round(comparison.ours_per_s, 1),
            "reference_per_s": round(comparison.reference_per_s, 1),
            "ours_ms": round(1000 / comparison.ours_per_s, 4),
            "reference_ms": round(1000 / comparison.reference_per_s, 4),
            "ratio": round(comparison.ratio, 3),
            "ratio_low": round(comparison.ratio_low, 3),
            "ratio_high": round(comparison.ratio_high, 3),
        }


def machine(server: Mapping[str, Any]) -> dict[str, Any]:
    """Say what the figures are from, without naming the machine.

    Args:
        server: what INFO says of the server.
    """
    valkey = server.get("valkey_version")
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "server": f"Valkey {valkey}" if valkey else f"Redis {server.get('redis_version', '?')}",
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _cpu() -> str:
    """Return the model of the CPU, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def page(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return all rows as tables that are Markdown and align in a terminal."""
    cases = list({row.case.name: row.case for row in rows}.values())
    parts = [part for case in cases for part in (_title(case), _table([row for row in rows if row.case is case]))]
    return "\n\n".join([*parts, _footer(about)])


def document(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return the whole of docs/performance.md."""
    return f"{_INTRODUCTION}\n{page(rows, about)}\n"


def _title(case: Case) -> str:
    unit = "milliseconds each" if case.in_ms else "a second"
    return f"**{case.name}**: {case.question}; {unit}"


def _table(rows: Sequence[Row]) -> str:
    cells = [_HEADINGS, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    rule = "|".join("-" * (width + 1) + (":" if column > 1 else "-") for column, width in enumerate(widths))
    lines = [_line(line, widths) for line in cells]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = (
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join(aligned)} |"


def _cells(row: Row) -> tuple[str, ...]:
    comparison, load = row.comparison, row.load
    figures = (comparison.ours_per_s, comparison.reference_per_s)
    shown = [f"{1000 / figure:.2f}" if row.case.in_ms else f"{figure:,.0f}" for figure in figures]
    spread = f"{comparison.ratio_low:.2f} to {comparison.ratio_high:.2f}"
    size = "" if load.size is None else f"{load.size:,}"
    return (
        f"`{row.ours}`",
        f"`{row.reference}`",
        size,
        str(load.tasks),
        *shown,
        f"{comparison.ratio:.2f}",
        spread,
        str(comparison.rounds),
    )


def _footer(about: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    return (
        "Medians over the rounds; speed is ours divided by redis-py's, within a round. "
        f"{about['system']} on {about['processor']}, {about['cpus']} CPUs ({about['cpu']}), {about['memory_gib']} GiB, "
        f"load {about['load_before']} before the run; "
        f"Python {about['python']}, {about['server']} (keeps nothing on disk), {packages}."
    )
