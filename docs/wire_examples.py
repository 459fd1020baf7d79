"""One message of each type, as they come in the life of one session: the examples of docs/wire.md."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tidings.bus import messages as m
from tidings.bus.merge import Gap
from tidings.bus.states import State

SESSION, EPOCH, MODEL = "demo", "5f1c0a9be23d4471", "openai/gpt-4o-mini"
_STARTED = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
_ASKER, _CONTROLLER, _AGENT = "cli", "controller/c1", "worker/w1"
_QUESTION = "Do I need a coat in Lisbon today?"
_LIMIT = "Rate limit reached for requests"


def _at(seconds: float) -> datetime:
    return _STARTED + timedelta(seconds=seconds)


def _id(name: str) -> str:
    """Return an id that is the same every time."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"tidings:{name}").hex


_WORKER = m.WorkerRef(name="w1", host="anvil", pid=4242)
_RETRY = m.LlmRetry(
    model=MODEL,
    reason=m.Reason.RATE_LIMIT,
    attempt=2,
    max_attempts=6,
    wait_s=7.25,
    waited_s=8.1,
    retry_at=_at(11.4),
    message=_LIMIT,
    status_code=429,
    retry_after_s=7.0,
)
_PARKED = m.LlmRateLimited(
    model=MODEL, reason=m.Reason.RATE_LIMIT, attempt=3, max_attempts=6, resume_at=_at(1812), message=_LIMIT
)
_OUTAGE = m.LlmParked(
    model=MODEL,
    reason=m.Reason.OVERLOADED,
    attempt=6,
    max_attempts=6,
    resume_at=_at(1066),
    message="The service is unavailable: try again later.",
    action="Wait, or choose another model: the provider has no capacity at the moment.",
)
_FAILED = m.LlmFailed(
    model=MODEL,
    reason=m.Reason.AUTH,
    attempt=1,
    max_attempts=6,
    status_code=401,
    message="Incorrect API key provided",
    action="check the API key in the worker's environment, then resume the session",
)
_STATE = m.SessionState(
    from_=State.RUNNING,
    to=State.RATE_LIMITED,
    version=3,
    why=f"{MODEL}: rate limit, attempt 2 of 6 failed",
    reason=m.Reason.RATE_LIMIT,
    wait=m.Wait.model_validate(_RETRY.model_dump()),
    worker=_WORKER,
    model=MODEL,
)
_CHILD, _CHILD_NAME = f"{SESSION}-searcher-5d1f0c9be234", "searcher"
_CHILD_STATE = m.ChildState(
    child=_CHILD,
    name=_CHILD_NAME,
    state=State.RATE_LIMITED,
    why=f"{MODEL}: rate limit, attempt 2 of 6 failed",
    reason=m.Reason.RATE_LIMIT,
    wait=m.Wait.model_validate(_RETRY.model_dump()),
    worker=_WORKER,
    model=MODEL,
)
_REPORT: Mapping[str, Any] = {
    "child": _CHILD,
    "name": _CHILD_NAME,
    "state": State.AWAITING_INPUT,
    "text": "18 degrees.",
    "why": "the turn is over",
}
_CALL = m.ToolCall(call_id="call_7Qx", name="forecast", arguments={"city": "Lisbon", "days": 1}, idempotent=True)
_RESULT = m.ToolResult(call_id="call_7Qx", name="forecast", content="18 degrees, light rain after noon")
_ANSWER = m.AgentMessage(
    text="Take a coat: 18 degrees, and light rain after noon.", model=MODEL, prompt_tokens=96, completion_tokens=15, read=3
)

_STORY: tuple[tuple[m.Body, float, str, int], ...] = (
    (m.SessionStart(by="ann@anvil", expires_at=_at(10), text=_QUESTION), 0.0, _ASKER, 1),
    (m.SessionSay(by="ann@anvil", expires_at=_at(70), text="And tomorrow?"), 60.0, _ASKER, 2),
    (m.SessionPause(by="bob@anvil", why="out of budget", expires_at=_at(75)), 65.0, _ASKER, 3),
    (m.SessionResume(by="bob@anvil", expires_at=_at(910)), 900.0, _ASKER, 4),
    (
        m.SessionChange(by="bob@anvil", model="openai/gpt-4o-mini", labels={"customer": "acme"}, expires_at=_at(915)),
        905.0,
        _ASKER,
        5,
    ),
    (m.SessionStop(by="ann@anvil", expires_at=_at(3610)), 3600.0, _ASKER, 6),
    (m.SessionDelete(by="ann@anvil", expires_at=_at(7210)), 7200.0, _ASKER, 7),
    (m.UserMessage(text=_QUESTION, by="ann@anvil"), 0.01, _CONTROLLER, 1),
    (_CALL, 1.9, _AGENT, 2),
    (_RESULT, 2.4, _AGENT, 3),
    (_ANSWER, 12.1, _AGENT, 4),
    (m.ChildStart(name=_CHILD_NAME, text="Look it up.", child=_CHILD), 905.1, _AGENT, 7),
    (m.ChildResult(**_REPORT), 909.2, _CONTROLLER, 8),
    (m.HistoryCondensed(text="Ann asked about coats.", through=4, llm="condenser"), 909.9, _AGENT, 9),
    (m.SessionReport(by=f"session/{_CHILD}", **_REPORT), 909.1, _CONTROLLER, 5),
    (_CHILD_STATE, 907.3, _CONTROLLER, 19),
    (m.AgentError(kind="KeyError", message="'wind'"), 905.3, _AGENT, 6),
    (m.WorkerClaimed(worker=_WORKER, token=1), 0.02, _AGENT, 2),
    (_RETRY, 4.15, _AGENT, 5),
    (_STATE, 4.16, _CONTROLLER, 6),
    (m.LlmAttempt(model=MODEL, reason=m.Reason.RATE_LIMIT, attempt=3, max_attempts=6), 11.4, _AGENT, 7),
    (m.LlmRecovered(model=MODEL, attempt=3), 12.0, _AGENT, 8),
    (m.AgentProgress(doing="compiling", done=3, total=8), 12.1, _AGENT, 9),
    (m.WorkerReleased(worker=_WORKER, why="yield"), 12.2, _AGENT, 10),
    (_OUTAGE, 1003.5, _AGENT, 23),
    (_PARKED, 912.0, _AGENT, 21),
    (_FAILED, 1812.6, _AGENT, 26),
    (m.WorkerLost(worker=_WORKER, losses=1), 1990.0, _CONTROLLER, 31),
)


def _stored(data: m.Body, seconds: float, source: str, offset: int) -> m.Message[Any]:
    name = type(data).__name__
    identity = f"{_id('SessionStart')}.said" if name == "UserMessage" else _id(name)
    return m.Message.of(data, session=SESSION, id=identity, source=source, time=_at(seconds), offset=offset, epoch=EPOCH)


EXAMPLES: Mapping[type[m.Body], m.Message[Any]] = {type(entry[0]): _stored(*entry) for entry in _STORY}
"""Each type by its model, stored."""

OUTCOMES = (
    m.Outcome(command_id=_id("SessionPause"), session=SESSION, result=m.Result.APPLIED, state=State.PAUSED, version=9),
    m.Outcome(
        command_id=_id("refused"),
        session=SESSION,
        result=m.Result.REFUSED,
        reason="the session is stopped, and that is final",
        state=State.STOPPED,
        version=17,
        legal=("session.delete",),
    ),
)

GAP = Gap("status.demo", "trimmed", 3, 19)
CURSOR = EXAMPLES[m.AgentMessage].cursor


def on_the_wire(message: m.Message[Any]) -> bytes:
    """Return a stored message byte for byte as it is published and kept: the scripts write offset and epoch last."""
    return m.encode(message)[:-1] + f',"offset":{message.offset},"epoch":"{message.epoch}"}}'.encode()
