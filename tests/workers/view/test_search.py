"""What is searched in a session."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tidings.bus import Progress, Reason, State, Work
from tidings.workers.view import SEARCHED, SessionView, searching

QUOTA = SessionView("zurich", state=State.RATE_LIMITED, reason=Reason.QUOTA_EXHAUSTED, message="out of quota")
CLAIMED = SessionView("athens", state=State.RATE_LIMITED, model="openai/gpt", worker="W1", resume_at=datetime.now(UTC))


@pytest.mark.parametrize("wanted", ["ath", "RATE limited", "gpt w1"])
def test_all_words_must_occur(wanted: str) -> None:
    """Wherever, in whatever case."""
    assert searching(wanted)(CLAIMED)
    assert not searching(wanted)(SessionView("x"))


def test_without_words_everything_is_wanted() -> None:
    """Spaces are no word; one word that is missing is enough to leave a session out."""
    assert searching(" ")(SessionView("x"))
    assert searching("quota out")(QUOTA)
    assert not searching("athens error")(CLAIMED)


def test_every_field_is_searched() -> None:
    """Each by itself, and what is made of several, as people see it."""
    plain = ("name", "parent", "why", "message", "action", "model", "worker", "by")
    texts: dict[str, Any] = {name: f"its-{name}" for name in plain}
    work = Work(queue="gpu", agent="coder", labels={"customer": "acme"})
    progress = Progress(doing="compiling", done=3)
    row = SessionView("s", state=State.RUNNING, reason=Reason.SERVER_ERROR, progress=progress, work=work, **texts)
    for word in [*texts.values(), "running", "server error", "compiling 3", "queue gpu", "agent coder", "customer=acme"]:
        assert searching(word)(row), word
    assert len(SEARCHED) == len(texts) + 6
