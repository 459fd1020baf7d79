from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import IO

import pytest

from tests.waiting import eventually
from tidings.bus.errors import BadAddress, Unreachable
from tidings.bus.redis import folder
from tidings.bus.redis.folder import DataFolder


async def test_a_folder_is_made_for_us_alone(tmp_path: Path) -> None:
    """The folder and its parents are made; nobody else may look into it."""
    data = DataFolder(tmp_path / "deep" / "data")
    await data.acquire()
    assert (tmp_path / "deep" / "data").stat().st_mode & 0o777 == 0o700
    data.release()


async def test_a_folder_belongs_to_one_holder_at_a_time(tmp_path: Path) -> None:
    """The second is refused at once and told who has it and where to join; after the release it is free."""
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    await first.acquire()
    first.announce("unix:///run/x.sock")
    with pytest.raises(Unreachable) as caught:
        await second.acquire()
    assert f"in use by process {os.getpid()}: connect to unix:///run/x.sock" in str(caught.value)
    assert caught.value.address == f"embedded://{tmp_path}"
    first.release()
    first.release()
    await second.acquire()
    second.release()


async def test_a_note_is_left_by_the_holder_only(tmp_path: Path) -> None:
    """Announcing without the lock leaves no note."""
    data = DataFolder(tmp_path)
    await data.acquire()
    data.release()
    data.announce("unix:///run/x.sock")
    assert (tmp_path / "tidings.lock").read_bytes() == b""


@pytest.mark.parametrize(
    "note", [b"", b"\xff\xfe", b"12x\nunix:///a", b"-1\nunix:///a", b"12\nunix:///\x1b[31m", "²\nx".encode()]
)
async def test_a_note_that_cannot_be_read_is_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: bytes) -> None:
    """A holder that left no note, or nonsense, is called another process."""
    monkeypatch.setattr(folder, "_PREDECESSOR_S", 0.05)
    first = DataFolder(tmp_path)
    lock = await first.acquire()
    lock.write(note)
    lock.flush()
    with pytest.raises(Unreachable, match="in use by another process: connect to its server instead"):
        await DataFolder(tmp_path).acquire()
    first.release()


def process_that_is_gone() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen(["/bin/sh", "-c", ":"])
    process.wait()
    return process.pid


async def test_the_server_of_a_dead_process_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that is gone leaves its server for a moment; the next one waits until that is gone too."""
    gone = process_that_is_gone()
    first = DataFolder(tmp_path)
    lock = await first.acquire()
    lock.write(f"{gone}\nunix:///run/x.sock\n".encode())
    lock.flush()
    tries = 0
    try_lock = folder._try_lock

    def count(file: IO[bytes]) -> bool:
        nonlocal tries
        tries += 1
        return try_lock(file)

    monkeypatch.setattr(folder, "_try_lock", count)
    second = DataFolder(tmp_path)
    waiting = asyncio.create_task(second.acquire())
    await eventually(lambda: tries >= 2)
    assert not waiting.done()
    first.release()
    await waiting
    second.release()


async def test_a_number_that_is_no_process_is_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note with an impossible process id is waited out like that of a dead process."""
    monkeypatch.setattr(folder, "_PREDECESSOR_S", 0.05)
    first = DataFolder(tmp_path)
    lock = await first.acquire()
    lock.write(b"9" * 30 + b"\nunix:///run/x.sock\n")
    lock.flush()
    with pytest.raises(Unreachable, match="in use by process 9999"):
        await DataFolder(tmp_path).acquire()
    first.release()


async def test_a_holder_that_we_may_not_signal_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of another user counts as one that is there."""

    def not_permitted(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    first = DataFolder(tmp_path)
    await first.acquire()
    first.announce("unix:///run/x.sock")
    monkeypatch.setattr(os, "kill", not_permitted)
    with pytest.raises(Unreachable, match="in use by process"):
        await DataFolder(tmp_path).acquire()
    first.release()


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way is a fault of the address."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadAddress, match="cannot be used") as caught:
        await DataFolder(tmp_path / "file" / "data").acquire()
    assert caught.value.address == f"embedded://{tmp_path}/file/data"
