"""Write the tables of docs/providers.md: what providers answer, what we take it for, and what follows from it.

    python docs/make_providers.py [--check]

The answers are those of the tests (`tests/workers/retry/answers`), judged here by the code itself. With ``--check`` nothing
is written; the exit code is 1 when the page is not up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from docs import blocks
from tests.workers.retry.answers.documented import Documented
from tests.workers.retry.answers.table import DOCUMENTED
from tidings.workers.retry import Failure, Park, Retry, RetryPlan, classify_response
from tidings.workers.retry.advice import BY_REASON
from tidings.workers.retry.rules import RETRYABLE

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "providers.md"

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
"""The instant of the answers that carry a date."""

SHOWN = 110
"""Most characters of a provider's words in a table."""

_THREAD = re.compile(r"GitHub ([\w.-]+/[\w.-]+)#(\d+)")
_SPECIAL = re.compile(r"([\\`*_\[\]{}|~#])")


def reasons() -> str:
    """Return what a reason means for a session, and what a person is told if the answer tells no more."""
    lines = ["| reason | tried again | what a person is told |", "|---|---|---|"]
    lines += [f"| `{reason}` | {'yes' if reason in RETRYABLE else 'no'} | {action} |" for reason, action in BY_REASON.items()]
    return "\n".join(lines)


def answers() -> str:
    """Return a table for each provider, in the order of the tests."""
    return "\n\n".join(_table(provider, list(rows)) for provider, rows in groupby(DOCUMENTED, lambda row: row.provider))


def _table(provider: str, rows: Sequence[Documented]) -> str:
    columns = ("what happened", "what is sent", "read as", "what follows", "what a person is told", "source (read on)")
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"
    return "\n".join([f"### {provider}", "", head, *(_row(row) for row in rows)])


def _row(row: Documented) -> str:
    failure = classify_response(row.status, row.headers, row.body, now=NOW)
    cells = (
        _plain(row.name),
        _sent(row, failure),
        f"`{failure.reason}`",
        _consequence(failure),
        failure.action,
        f"{_source(row.source)} ({row.read_on})",
    )
    return f"| {' | '.join(cells)} |"


def _sent(row: Documented, failure: Failure) -> str:
    """Return the status, the provider's code and the beginning of its words."""
    code = f" `{failure.code}`" if failure.code and failure.code != str(row.status) else ""
    words = failure.message
    if len(words) > SHOWN:
        words = words[:SHOWN].rpartition(" ")[0] + " …"
    return f"{row.status}{code}: {_plain(words)}"


def _consequence(failure: Failure) -> str:
    """Return what the default plan does after the first such answer, without the jitter."""
    verdict = RetryPlan().decide(failure, attempt=1, waited_s=0.0, rng=lambda: 0.0)
    if isinstance(verdict, Retry):
        return f"tried again after {_duration(verdict.wait_s)}" if verdict.wait_s else "tried again"
    if isinstance(verdict, Park):
        return "parked until it is resumed" if verdict.wait_s is None else f"parked for {_duration(verdict.wait_s)}"
    return "error"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = seconds / 60
    return f"{minutes:.3g} min" if minutes < 100 else f"{minutes / 60:.3g} h"


def _source(text: str) -> str:
    """Name a source, and lead to it where it is a thread that everybody can read."""
    return _THREAD.sub(r"[\1#\2](https://github.com/\1/issues/\2)", text)


def _plain(text: str) -> str:
    """Let Markdown and HTML show a text as it is."""
    return _SPECIAL.sub(r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; return the exit code."""
    page = blocks.written(PAGE.read_text(encoding="utf-8"), {"reasons": reasons(), "answers": answers()})
    return blocks.run("docs/make_providers.py", {PAGE: page}, arguments)


if __name__ == "__main__":
    sys.exit(main())
