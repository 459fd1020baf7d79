"""Sessions as they may be seen, whatever was written in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from tidings.bus import Progress, Reason, State, Wait, Work
from tidings.workers.view import SessionView

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TIMES = st.none() | st.integers(0, 10_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
WAITS = st.builds(
    Wait, llm=TEXTS, model=st.none() | TEXTS, reason=st.sampled_from(Reason), retry_at=TIMES, message=TEXTS, action=TEXTS
)
SESSIONS = st.builds(
    SessionView,
    session=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
    state=st.none() | st.sampled_from(State),
    reason=st.none() | st.sampled_from(Reason),
    why=st.none() | TEXTS,
    since=TIMES,
    by=st.none() | TEXTS,
    waits=st.lists(WAITS, max_size=2, unique_by=lambda wait: wait.llm).map(tuple),
    resume_at=TIMES,
    message=st.none() | TEXTS,
    action=st.none() | TEXTS,
    model=st.none() | TEXTS,
    worker=st.none() | TEXTS,
    parent=st.sampled_from([None, "mother"]),
    name=st.none() | TEXTS,
    work=st.builds(
        Work,
        queue=st.sampled_from(["default", "gpu"]),
        agent=st.sampled_from([None, "coder"]),
        labels=st.dictionaries(st.sampled_from(["customer", "team"]), st.sampled_from(["Acme", "red"])),
    ),
    progress=st.none() | st.builds(Progress, doing=TEXTS, done=st.none() | st.integers(0, 9), total=st.none()),
)
