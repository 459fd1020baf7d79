"""Which call takes which scripted failure."""

from __future__ import annotations

import pytest

from tidings.workers.provider import Fault
from tidings.workers.provider.fault_queue import SCRIPT_MAX, FaultQueue, IncomingCall


def call(*, key: str = "k", model: str = "m", said: str = "hello", stream: bool = False) -> IncomingCall:
    """Return a call."""
    return IncomingCall(key=key, model=model, said=said, stream=stream)


def kinds(script: FaultQueue, *calls: IncomingCall) -> list[str | None]:
    """Put calls to a script and return what each takes."""
    return [fault.kind if (fault := script.take(one)) else None for one in calls]


def test_faults_happen_in_order_and_as_often_as_said() -> None:
    """Each is used up before the next begins; then calls succeed."""
    script = FaultQueue([Fault.parse("500x2"), Fault.parse("timeout")])
    assert kinds(script, *[call()] * 4) == ["status", "status", "timeout", None]
    assert script.pending() == []


def test_a_fault_without_end_lasts_until_cleared() -> None:
    """`times` None happens to every call."""
    script = FaultQueue([Fault.parse("quotax*")])
    assert kinds(script, *[call()] * 50) == ["quota"] * 50
    script.clear()
    assert script.take(call()) is None


@pytest.mark.parametrize(
    ("aim", "hit", "missed"),
    [
        ({"model": "big"}, call(model="big"), call(model="small")),
        ({"key": "one"}, call(key="one"), call(key="two")),
        ({"contains": "weather"}, call(said="the weather?"), call(said="hello")),
    ],
)
def test_a_fault_waits_for_the_call_it_is_aimed_at(aim: dict[str, str], hit: IncomingCall, missed: IncomingCall) -> None:
    """Calls that do not match pass it by and may take a later one."""
    script = FaultQueue([Fault.model_validate({"kind": "timeout", **aim}), Fault(kind="quota")])
    assert kinds(script, missed, hit, missed, hit) == ["quota", "timeout", None, None]


@pytest.mark.parametrize("kind", ["cut", "silent_cut"])
def test_cuts_wait_for_a_stream(kind: str) -> None:
    """A plain call has nothing to cut."""
    script = FaultQueue([Fault.parse(kind)])
    assert kinds(script, call(), call(stream=True), call(stream=True)) == [None, kind, None]


def test_pending_tells_what_is_left_without_keys() -> None:
    """What waits is shown by kind, status and count alone."""
    script = FaultQueue([Fault.parse("503x3:key=sk-secret"), Fault.parse("timeoutx*")])
    script.take(call(key="sk-secret"))
    assert script.pending() == [
        {"kind": "status", "status": 503, "left": 2},
        {"kind": "timeout", "status": None, "left": None},
    ]


def test_alike_faults_are_used_up_one_by_one() -> None:
    """Two equal entries are two."""
    script = FaultQueue([Fault.parse("500"), Fault.parse("500")])
    assert kinds(script, call(), call(), call()) == ["status", "status", None]


def test_the_script_is_bounded() -> None:
    """Too many faults are refused together, and what waited stays."""
    script = FaultQueue([Fault(kind="quota")])
    with pytest.raises(ValueError, match="clear the script"):
        script.add(*[Fault(kind="timeout")] * SCRIPT_MAX)
    assert [entry["kind"] for entry in script.pending()] == ["quota"]
