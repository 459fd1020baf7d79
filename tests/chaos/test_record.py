"""What processes note in their files comes back as it was noted, in the order of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.record import AppendBegun, Fault, Recorder, Run, Text, decode, encode, read
from tidings.bus import AgentMessage, Message


def begun(at: float = 0.0) -> AppendBegun:
    """Return an entry with a message in it."""
    message = Message.of(AgentMessage(text="ü"), id="a1", session="s")
    return AppendBegun(at=at, session="s", worker="w1", epoch="e", token=1, call="k", events=(Text.of(message),))


def test_an_entry_comes_back_as_it_was() -> None:
    """Also with messages and tuples in it, and with a time that is not known."""
    for entry in (begun(1.0), Fault(kind="crash", keeps=None), Run(mode="none", secrets=("a", "b"))):
        assert decode(encode(entry)) == entry


def test_what_is_no_entry_is_refused() -> None:
    """A line of another kind names itself."""
    with pytest.raises(ValueError, match="not an entry"):
        decode(b'{"kind": "Other"}')


def test_several_files_are_one_record(tmp_path: Path) -> None:
    """The entries of all processes are in the order of time, each with who noted it and when."""
    first, second = Recorder(tmp_path / "a.jsonl", "a"), Recorder(tmp_path / "b.jsonl", "b")
    second.note(begun())
    first.note(begun())
    second.note(Fault(kind="crash", at=0.5))
    first.close()
    second.close()
    found = read(tmp_path)
    assert [entry.actor for entry in found] == ["b", "b", "a"]
    assert found[0].at == 0.5
    assert found[1].wall - found[0].wall == pytest.approx(found[1].at - found[0].at, abs=0.5)


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    """What a killed process had noted before is there."""
    recorder = Recorder(tmp_path / "a.jsonl", "a")
    recorder.note(begun())
    recorder.close()
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(encode(begun())[:50])
    assert len(read(tmp_path)) == 1
