"""`tidings export` and `tidings import`."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import actors
from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import bring, hold
from tidings.bus import Bus, SessionDeleted, State
from tidings.bus.admin import AdminFace


async def with_events(bus: Bus, session: str, count: int) -> None:
    """Make a session with so many events, held by a worker."""
    await (await hold(bus, session)).append(*[actors.answer(session, str(index)) for index in range(count)], after=0)


async def test_out_of_one_and_into_another_name(server_bus: Bus, tidings: Tidings, tmp_path: Path) -> None:
    """The file is only for its owner, and holds the history as it is on the wire."""
    await with_events(server_bus, "sea", 3)
    path = tmp_path / "sea.jsonl"
    done = await tidings("export", "sea", "--to", str(path))
    assert (done.code, done.stdout) == (0, "sea: 3 events\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["sea.jsonl"]
    history = await tidings("history", "sea", "--json")
    assert path.read_text().splitlines()[1:] == history.stdout.splitlines()
    done = await tidings("import", str(path), "--as", "copy")
    assert (done.code, done.stdout) == (0, "copy: imported with 3 events, the session is paused\n")
    record = await server_bus.status("copy")
    assert (record.state, record.events) == (State.PAUSED, 3)
    refused = await tidings("import", str(path))
    assert (refused.code, "exists already" in refused.stderr) == (3, True)
    assert "--only sea --as NAME" in refused.stderr


async def test_several_go_through_a_pipe(server_bus: Bus, tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are over, one after the other; on the way in each is told by itself."""
    for session in ("a", "b"):
        await bring(server_bus, session, State.FINISHED)
    await hold(server_bus, "c")
    out = await tidings("export", "--older-than", "0s")
    headers = [json.loads(line) for line in out.stdout.splitlines()]
    assert {header["session"] for header in headers} == {"a", "b"}
    lines = out.stdout.replace('"session":"a"', '"session":"new"').encode()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    done = await tidings("import", "-", "--json")
    assert done.code == 3
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"session": "new", "state": "finished", "events": 0, "left_out": 0}
    ]
    assert "'b' exists already" in done.stderr
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    done = await tidings("import", "-", "--as", "one")
    assert (done.code, "--as names one" in done.stderr) == (2, True)
    assert "--only SESSION" in done.stderr


async def test_one_of_several_is_imported_under_another_name(server_bus: Bus, tidings: Tidings, tmp_path: Path) -> None:
    """What the refusal of a taken name advises works; a session that is not in the file is a mistake."""
    for session in ("a", "b"):
        await bring(server_bus, session, State.FINISHED)
    path = str(tmp_path / "both.jsonl")
    assert (await tidings("export", "a", "b", "--to", path)).code == 0
    done = await tidings("import", path, "--only", "b", "--as", "b-2")
    assert (done.code, done.stdout) == (0, "b-2: imported with 0 events, the session is finished\n")
    done = await tidings("import", path, "--only", "c")
    assert (done.code, done.stderr) == (2, f"tidings: {path}: there is no session 'c' in it\n")


async def test_what_is_not_there_is_not_advised_to_be_started(server_bus: Bus, tidings: Tidings) -> None:
    """An export of nothing is nobody's wish."""
    done = await tidings("export", "nosuch")
    assert (done.code, done.stderr) == (3, "tidings: there is no session 'nosuch'\n")


async def test_deleted_sessions_cannot_be_chosen(server_bus: Bus, tidings: Tidings) -> None:
    """Nothing is kept to be listed or exported; no silence says that there are none."""
    for arguments in (["sessions"], ["export"], ["delete", "--yes"]):
        done = await tidings(*arguments, "--state", "deleted")
        assert (done.code, done.stdout) == (2, "")
        assert "nothing but the name is kept" in done.stderr


async def test_a_file_is_there_as_a_whole_or_not_at_all(
    server_bus: Bus, tidings: Tidings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before stays when an export fails, and nothing lies about."""
    await with_events(server_bus, "sea", 1)
    path = tmp_path / "out"
    path.write_text("before")
    failed = await tidings("export", "sea", "nobody", "--to", str(path))
    assert (failed.code, failed.stdout) == (3, "")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["out"]
    done = await tidings("export", "sea", "--to", str(tmp_path / "no" / "out"))
    assert (done.code, "cannot be written" in done.stderr) == (1, True)


async def test_what_is_deleted_meanwhile_is_left_out(server_bus: Bus, tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among what was chosen; it was there when the list was made."""

    async def gone(bus: Bus, session: str) -> AsyncIterator[bytes]:
        raise SessionDeleted(session)
        yield b""  # it is a generator

    await bring(server_bus, "a", State.FINISHED)
    monkeypatch.setattr(AdminFace, "export", gone)
    assert (await tidings("export", "--older-than", "0s")).code == 0
    assert (await tidings("export", "a")).code == 3


async def test_a_file_that_is_no_export_is_told_with_its_line(server_bus: Bus, tidings: Tidings, tmp_path: Path) -> None:
    """Exit code 2, one line, nothing imported."""
    await with_events(server_bus, "sea", 2)
    whole = (await tidings("export", "sea")).stdout
    path = tmp_path / "cut"
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    done = await tidings("import", str(path), "--as", "copy")
    assert (done.code, done.stderr.count("\n"), "1 of 2 events" in done.stderr) == (2, 1, True)
    assert done.stderr.startswith(f"tidings: {path}: line 2: ")
    missing = await tidings("import", str(tmp_path / "nothing"))
    assert (missing.code, "cannot be read" in missing.stderr) == (2, True)
    (tmp_path / "empty").write_text("")
    for name in ([], ["--as", "x"]):
        empty = await tidings("import", str(tmp_path / "empty"), *name)
        assert (empty.code, "empty: there is nothing in it: `tidings export" in empty.stderr) == (2, True)


async def test_events_that_are_missing_are_told(server_bus: Bus, tidings: Tidings, tmp_path: Path) -> None:
    """Their places stay empty."""
    await with_events(server_bus, "sea", 2)
    lines = (await tidings("export", "sea")).stdout.splitlines()
    lines[1] = '{"type":"tidings.left_out","offset":1,"content":null}'
    path = tmp_path / "out"
    path.write_text("\n".join(lines) + "\n")
    done = await tidings("import", str(path), "--as", "copy")
    assert done.stdout == "copy: imported with 2 events, 1 of them missing, the session is paused\n"


async def test_a_file_without_an_end_is_refused(server_bus: Bus, tidings: Tidings) -> None:
    """Its first line is not read as a whole."""
    done = await tidings("import", "/dev/zero")
    assert (done.code, done.stdout) == (2, "")
    assert "/dev/zero: line 1: this line has more than 33554432 bytes" in done.stderr
