"""The page of the states is drawn from their table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bus.states import TABLE, State, Trigger
from docs import make_states

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_page_and_the_picture_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes the table draws them anew: `python docs/make_states.py`."""
    assert make_states.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.process
def test_it_runs_as_a_program() -> None:
    """As the Makefile runs it."""
    command = [sys.executable, str(CHECKOUT / "docs" / "make_states.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, env={"PYTHONPATH": str(CHECKOUT)})
    assert done.returncode == 0, done.stderr


def test_an_old_picture_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check says what to run; running it writes the page and the picture."""
    page = "<!-- begin: commands, x -->\n<!-- end: commands -->\n<!-- begin: table, x -->\n<!-- end: table -->\n"
    (tmp_path / "states.md").write_text(page, encoding="utf-8")
    monkeypatch.setattr(make_states, "DOCS", tmp_path)
    assert make_states.main(["--check"]) == 1
    assert "states.svg, states.md; run python docs/make_states.py" in capsys.readouterr().err
    assert make_states.main([]) == 0
    assert make_states.main(["--check"]) == 0


def test_the_written_table_is_the_table() -> None:
    """Read back, its rows are exactly those that controllers decide by."""
    read: dict[tuple[State | None, Trigger], State] = {}
    for line in make_states.rows().splitlines()[2:]:
        before, triggers, after = (cell.strip() for cell in line.strip("|").split("|"))
        state = None if before == "(none yet)" else State(before.strip("`"))
        for trigger in re.findall(r"`(\w+)`", triggers):
            to = state if after == "stays" else State(after.strip("`"))
            assert to is not None
            assert (state, Trigger(trigger)) not in read
            read[state, Trigger(trigger)] = to
    assert read == TABLE


def test_what_a_person_can_ask_is_told_for_every_state() -> None:
    """One row for each state, and a resume with all that it may mean."""
    lines = make_states.asked().splitlines()
    assert len(lines) == 2 + 1 + len(State)
    assert lines[0] == "| state | `start` | `say` | `resume` | `pause` | `stop` | `delete` |"
    assert "| `paused` | – | stays | `queued` or `awaiting_input` | stays | `stopped` | `deleted` |" in lines
    assert "| `finished` | – | – | – | – | – | `deleted` |" in lines


def test_the_page_explains_every_state_and_every_trigger() -> None:
    """The part written by hand leaves none out."""
    text = (CHECKOUT / "docs" / "states.md").read_text(encoding="utf-8")
    by_hand = re.sub(r"<!-- begin.*?<!-- end", "", text, flags=re.DOTALL)
    cells = {line.split("|")[1] for line in by_hand.splitlines() if line.startswith("| ")}
    explained = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    assert explained >= {*State, *Trigger}
