"""Scripted failures and their compact form."""

from __future__ import annotations

import math
import string
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tidings.workers.provider import Fault, FaultSyntaxError
from tidings.workers.provider.faults import FaultKind


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("500", Fault(kind="status", status=500)),
        ("500x2", Fault(kind="status", status=500, times=2)),
        ("429x3:retry-after=2", Fault(kind="status", status=429, times=3, headers={"Retry-After": "2"})),
        ("timeout", Fault(kind="timeout")),
        ("timeoutx3:seconds=0.5", Fault(kind="timeout", times=3, seconds=0.5)),
        ("disconnect", Fault(kind="disconnect")),
        ("cut:chunks=1,contains=the weather", Fault(kind="cut", chunks=1, contains="the weather")),
        ("silent-cut", Fault(kind="silent_cut")),
        ("silent_cutx2", Fault(kind="silent_cut", times=2)),
        ("quotax*", Fault(kind="quota", times=None)),
        (" 400:code=too_long ", Fault(kind="status", status=400, code="too_long")),
        ("503:message=a\\, b,type=x", Fault(kind="status", status=503, message="a, b", type="x")),
        ("502:body=<a b='c'>", Fault(kind="status", status=502, body="<a b='c'>")),
        ("500:header.X-Id=7", Fault(kind="status", status=500, headers={"X-Id": "7"})),
        ("500:key=sk-secret,model=m", Fault(kind="status", status=500, key="sk-secret", model="m")),
        (
            "429:Retry-After=Sun\\, 22 Nov 2026 12:00:00 GMT",
            Fault(kind="status", status=429, headers={"Retry-After": "Sun, 22 Nov 2026 12:00:00 GMT"}),
        ),
    ],
)
def test_the_compact_form_says_it_all(text: str, fault: Fault) -> None:
    """Every kind, count and option can be written on a command line."""
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not a scripted failure"),
        ("boom", "'boom' is not a scripted failure"),
        ("status", "write a status"),
        ("5000", "not a scripted failure"),
        ("500x", "not a scripted failure"),
        ("500x0", "times"),
        ("500 x2", "not a scripted failure"),
        ("99", "not a scripted failure"),
        ("600", "status"),
        ("204", "no body"),
        ("500:retry-after", "name=value"),
        ("500:", None),
        ("500:wait=3", "no option 'wait'"),
        ("500:code=a,code=b", "given twice"),
        ("500:retry-after=1,header.Retry-After=2", "given twice"),
        ("timeout:retry-after=2", "headers says nothing about a timeout"),
        ("500:chunks=2", None),
        ("500:chunks=3", "chunks says nothing about a status"),
        ("timeout:seconds=soon", "seconds"),
        ("timeout:seconds=-1", "seconds"),
        ("500:header.Content-Length=3", "'Content-Length' is not a header"),
        ("500:header.=3", "is not a header"),
        ("500:header.X=\x07", "printable"),
    ],
)
def test_a_misspelt_fault_says_what_is_wrong(text: str, told: str | None) -> None:
    """The error names the part that is wrong; harmless variants pass."""
    if told is None:
        assert Fault.parse(text).status == 500
        return
    with pytest.raises(FaultSyntaxError) as caught:
        Fault.parse(text)
    assert told in str(caught.value)


@given(st.text(max_size=60) | st.text(alphabet=string.ascii_lowercase + string.digits + "x*:=,.\\-_", max_size=30))
def test_any_text_is_a_fault_or_a_clear_error(text: str) -> None:
    """Parsing never fails in another way."""
    with suppress(FaultSyntaxError):
        assert isinstance(Fault.parse(text), Fault)


@given(
    kind=st.sampled_from([kind for kind in get_args(FaultKind) if kind != "status"]),
    times=st.none() | st.integers(1, 999),
    aim=st.dictionaries(st.sampled_from(["model", "key", "contains"]), st.text(min_size=1).filter(lambda t: t == t.strip())),
)
def test_what_is_written_is_what_is_read(kind: FaultKind, times: int | None, aim: dict[str, str]) -> None:
    """A value comes back as written, its commas escaped, unless it ends in a backslash."""
    if any(value.endswith("\\") or "\\," in value for value in aim.values()):
        return
    options = ",".join(f"{name}={value.replace(',', chr(92) + ',')}" for name, value in aim.items())
    text = f"{kind}x{'*' if times is None else times}" + (f":{options}" if options else "")
    assert Fault.parse(text) == Fault.model_validate({"kind": kind, "times": times, **aim})


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "explosion"},
        {"kind": "status"},
        {"kind": "status", "status": 199},
        {"kind": "status", "status": 304},
        {"kind": "timeout", "status": 500},
        {"kind": "disconnect", "body": "x"},
        {"kind": "cut", "seconds": 1},
        {"kind": "cut", "chunks": -1},
        {"kind": "timeout", "seconds": math.inf},
        {"kind": "quota", "times": 0},
        {"kind": "status", "status": 500, "headers": {"X": "a\r\nSet-Cookie: b"}},
        {"kind": "status", "status": 500, "headers": {"Transfer-Encoding": "chunked"}},
        {"kind": "cut", "after": 3},
    ],
)
def test_a_fault_without_sense_is_refused(wrong: dict[str, Any]) -> None:
    """Fields that would be ignored, or that would break the HTTP framing, are errors."""
    with pytest.raises(ValidationError):
        Fault.model_validate(wrong)


def test_a_dumped_fault_loads_again() -> None:
    """Another process may send what it got from `model_dump`, every field named."""
    for fault in (Fault.parse("429x3:retry-after=2"), Fault.parse("cut:chunks=0"), Fault(kind="timeout")):
        assert Fault.model_validate(fault.model_dump()) == fault


def test_a_key_shows_in_no_repr_and_in_no_error() -> None:
    """The key that a fault aims at stays out of texts."""
    assert "sk-secret" not in repr(Fault(kind="quota", key="sk-secret"))
    for text in (
        "timeout:retry-after=2,key=sk-secret",
        "boomkey=sk-secret",
        "500:key=sk-secret,key=sk-secret",
    ):
        with pytest.raises(FaultSyntaxError) as caught:
            Fault.parse(text)
        assert "sk-secret" not in str(caught.value)
    with pytest.raises(ValidationError) as refused:
        Fault.model_validate({"kind": "quota", "times": 0, "key": "sk-secret"})
    assert "sk-secret" not in str(refused.value)
