"""What the benchmark prints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from bench.case import Case, Load
from bench.report import Row, machine, page
from bench.turns import Comparison, Run

ABOUT = machine({"redis_version": "7.0.15"})


@asynccontextmanager
async def nobody(url: str, load: Load) -> AsyncIterator[Mapping[str, Run]]:
    """Prepare nothing."""
    yield {}


def row(name: str, ratio: float, load: Load, rounds: int = 9, *, in_ms: bool = False) -> Row:
    """Make a row of a case that was never run."""
    case = Case(name, "how quick it is", nobody, (("mine", "theirs"),), (load,), in_ms)
    comparison = Comparison(ratio * 1000, 1000.0, ratio, ratio / 2, ratio * 2, rounds)
    return Row(case, load, "mine", "theirs", "one CPU", comparison)


def test_the_tables_are_markdown_and_align() -> None:
    """They go into the documentation as they are printed."""
    first, second = row("read", 0.5, Load(10, size=300)), row("read", 12.0, Load(10, 100, 2048))
    title, table, footer = page([first, Row(first.case, second.load, *("mine", "theirs", "", second.comparison))], ABOUT).split(
        "\n\n"
    )
    assert title == "**read**: how quick it is; a second"
    lines = table.splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert lines[2].replace(" ", "") == "|`mine`|`theirs`|300|1|500|1,000|0.50|0.25to1.00|9|"
    assert lines[3].replace(" ", "") == "|`mine`|`theirs`|2,048|100|12,000|1,000|12.00|6.00to24.00|9|"
    assert "Redis 7.0.15" in footer
    assert f"({ABOUT['cpu']}), {ABOUT['memory_gib']} GiB" in footer


def test_times_are_shown_as_times() -> None:
    """What people wait for is a time, and the ratio is still of speeds."""
    printed = page([row("wait", 0.25, Load(20), in_ms=True)], ABOUT)
    assert "milliseconds each" in printed
    assert "| 4.00 |" in " ".join(printed.split())
    assert "| 1.00 |" in " ".join(printed.split())
    assert "| 0.25 |" in " ".join(printed.split())


def test_a_run_that_was_cut_short_says_so() -> None:
    """Where the time was up before all rounds were done, the row shows it."""
    printed = page([row("a", 1.0, Load(1), 3), row("b", 1.0, Load(1), 9)], ABOUT)
    assert [line.split("|")[-2].strip() for line in printed.splitlines() if "`mine`" in line] == ["3", "9"]


def test_the_fields_of_a_row() -> None:
    """Programs find every figure, under names that stay."""
    assert row("read", 0.5, Load(10, 100, 300)).as_json() == {
        "case": "read",
        "ours": "mine",
        "reference": "theirs",
        "bytes": 300,
        "tasks": 100,
        "operations": 10,
        "cpus": "one CPU",
        "rounds": 9,
        "ours_per_s": 500.0,
        "reference_per_s": 1000.0,
        "ours_ms": 2.0,
        "reference_ms": 1.0,
        "ratio": 0.5,
        "ratio_low": 0.25,
        "ratio_high": 1.0,
    }


def test_the_machine_is_described_and_not_named() -> None:
    """Who reads the figures knows what they are from; nobody knows whose it is."""
    assert set(ABOUT) == {"system", "processor", "cpu", "cpus", "memory_gib", "load_before", "python", "server", "packages"}
    assert ABOUT["server"] == "Redis 7.0.15"
    assert ABOUT["cpu"]
    assert ABOUT["memory_gib"] > 0
    assert machine({"redis_version": "7.2.4", "valkey_version": "9.1.2"})["server"] == "Valkey 9.1.2"
    assert ABOUT["packages"].keys() == {"redis", "hiredis", "pydantic", "litellm"}
