"""What the API takes and gives, as its description tells it. Sessions are those of `tidings.workers.view`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from tidings.bus import Progress, Reason, State, Wait, Wanted, Work
from tidings.workers.view import SessionView

WHEN = "2026-11-23T00:34:57.668624Z"
EVENT = {
    "specversion": "1.0",
    "id": "5f0c2d7e1f6f4bd5a8c5f3b1f3a0b7d1",
    "source": "controller/c1",
    "type": "user.message",
    "subject": "sea",
    "time": WHEN,
    "traceparent": None,
    "data": {"text": "Why is the sea salt?", "by": "operator (web)"},
    "offset": 1,
    "epoch": "c7b4cf434b84e9a5",
}
_WAIT = Wait(
    llm="agent",
    model="openai/gpt-4o",
    reason=Reason.RATE_LIMIT,
    attempt=3,
    max_attempts=6,
    wait_s=12.0,
    waited_s=15.5,
    retry_at=datetime.fromisoformat(WHEN),
    message="Rate limit reached.",
    action="Wait: the allowance refills by itself.",
)
SESSION = SessionView(
    "sea",
    state=State.RATE_LIMITED,
    since=datetime.fromisoformat(WHEN) - timedelta(seconds=30),
    reason=Reason.RATE_LIMIT,
    why="openai/gpt-4o: rate limit, attempt 3 of 6 failed",
    waits=(_WAIT,),
    model="openai/gpt-4o",
    worker="w1",
    message=_WAIT.message,
    action=_WAIT.action,
    progress=Progress(doing="compiling", done=3, total=8),
    work=Work(labels={"customer": "acme"}),
)
"""How a session looks."""
OUTCOME: dict[str, JsonValue] = {
    "command_id": "5f0c2d7e1f6f4bd5a8c5f3b1f3a0b7d1",
    "session": "sea",
    "result": "applied",
    "state": "queued",
    "version": 4,
    "warning": "",
}
PROBLEM: dict[str, JsonValue] = {
    "type": "/api#refused",
    "title": "A controller refused the command",
    "status": 409,
    "detail": "the session is stopped, and that is final",
    "command_id": "5f0c2d7e1f6f4bd5a8c5f3b1f3a0b7d1",
    "reason": "the session is stopped, and that is final",
    "state": "stopped",
    "legal": [],
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Me(_Model):
    """The caller, and the clock of the server."""

    role: Literal["operator", "viewer"]
    version: str
    now: AwareDatetime
    heartbeat_s: float


class RowPage(_Model):
    """Sessions, in order."""

    rows: list[SessionView]
    total: int = Field(description="How many match in all.")
    next: str | None = Field(description="Give it as `after` for the next page, which may begin before `limit`: 1 MiB at a time.")


class Process(_Model):
    """A worker, a controller or a gateway."""

    name: str
    host: str
    version: str
    held: int = Field(description="How many sessions it holds.")
    sessions: list[str] = Field(description="The first ten of them.")
    concurrency: int
    model: str | None
    live: bool
    starting: bool = Field(description="Whether it is there and does not work yet.")
    draining: bool
    seen_at: AwareDatetime


class ChartsView(_Model):
    """Counts by minute; null where this gateway was not there to count."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    step_s: int
    from_: AwareDatetime = Field(alias="from")
    retries: list[int | None]
    refused: list[int | None]


class FleetView(_Model):
    """The whole fleet."""

    now: AwareDatetime
    by_state: dict[State, int]
    workers: list[Process]
    controllers: list[Process]
    gateways: list[Process]
    left_out: int = Field(description="Processes that are too many to be listed; those that live come first.")
    charts: ChartsView
    sessions: int


class HistoryPage(_Model):
    """A piece of a history."""

    epoch: str
    end: int = Field(description="Offset of the newest event.")
    events: list[dict[str, Any]] = Field(description="As on the wire (docs/wire.md).", examples=[[EVENT]])
    next: int | None = Field(
        description="Give it as `after` for the next page, which may begin before `limit`: 1 MiB at a time. Null at the end."
    )


class NoticeList(_Model):
    """The notices that are retained, oldest first."""

    notices: list[dict[str, Any]]
    left_out: int = Field(description="Older ones that are too large to be listed with these.")


class OutcomeView(_Model):
    """What became of a command that was applied: the state has changed already."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": OUTCOME})

    command_id: str
    session: str
    result: Literal["applied"]
    state: State | None
    version: int
    warning: str = Field(description="What will keep the session waiting, such as a queue that no live worker serves; or empty.")


class ProblemView(BaseModel):
    """RFC 9457 problem details; some kinds have more members."""

    model_config = ConfigDict(json_schema_extra={"example": PROBLEM})

    type: str
    title: str
    status: int
    detail: str


FLEET_STREAM = """\
retry: 1000
event: hello
data: {"now":"2026-11-23T00:34:30Z","connected":true,"heartbeat_s":10.0}

event: rows
data: {"rows":[{"session":"sea","state":"running"}]}

event: ready
data: {}

event: row
data: {"row":{"session":"sea","state":"rate_limited"}}

event: tick
data: {"now":"2026-11-23T00:34:40Z","connected":true}

"""
"""How a stream of the fleet looks; its rows are shortened here."""
SESSION_STREAM = """\
retry: 1000
event: hello
data: {"now":"2026-11-23T00:34:30Z","connected":true,"heartbeat_s":10.0,"row":{"session":"sea","state":"running"}}

event: status
data: {"row":{"session":"sea","state":"running"}}

event: children
data: {"rows":[]}

id: c7b4cf434b84e9a5-1
event: event
data: {"type":"user.message","subject":"sea","data":{"text":"Why?"},"offset":1,"epoch":"c7b4cf434b84e9a5"}

event: notice
data: {"type":"llm.retry","subject":"sea","data":{"attempt":1,"max_attempts":6},"offset":4,"epoch":"c7b4cf434b84e9a5"}

"""
"""How a stream of one session looks; its objects are shortened here."""

Text = Annotated[str, Field(min_length=1)]
Why = Annotated[str, Field(max_length=500)]


class NewSession(Wanted, _Model):
    """A session to start."""

    model_config = ConfigDict(
        extra="forbid", defer_build=False, json_schema_extra={"example": {"session": "sea", "text": "Why is the sea salt?"}}
    )

    session: str | None = Field(None, description="Its id; one is made where none is given.")
    text: Text | None = Field(None, description="The first thing said to its agent.")
    why: Why = ""


class NewCommand(Wanted, _Model):
    """A command."""

    model_config = ConfigDict(
        extra="forbid",
        defer_build=False,
        json_schema_extra={"example": {"type": "session.resume", "why": "the limit was raised"}},
    )

    type: Literal["session.resume", "session.pause", "session.stop", "session.delete", "session.say", "session.change"]
    text: Text | None = Field(None, description="What is said, for `session.say` and nothing else.")
    why: Why = ""
