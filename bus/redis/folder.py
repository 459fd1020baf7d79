"""The folder in which an embedded server keeps its data, open to one process at a time."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import IO
from urllib.parse import quote

from tidings.bus.errors import BadAddress, Unreachable

_LOCK = "tidings.lock"
# The server of a process that was killed lives on for a moment, about 2 s at most, and keeps the lock.
_PREDECESSOR_S = 4.0
_POLL_S = 0.02


class DataFolder:
    """A folder and the lock on it.

    The lock belongs to the open file, so a process that inherits the file holds it too: the server does, and
    while one lives no other starts on the same data.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[bytes] | None = None

    async def acquire(self) -> IO[bytes]:
        """Make the folder if it is not there, lock it, and return the file that holds the lock.

        Raises:
            BadAddress: It cannot be made or written to.
            Unreachable: Another process has it open.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self._open()
        except OSError as error:
            raise BadAddress(f"the folder {self.path} cannot be used: {error.strerror}", address=self._address) from error
        try:
            await self._wait_for(lock)
        except BaseException:
            lock.close()
            raise
        self._lock = lock
        return lock

    def announce(self, url: str) -> None:
        """Leave a note for a process that finds the folder locked: which process has it, and where to join."""
        if self._lock is not None:
            self._lock.seek(0)
            self._lock.truncate()
            self._lock.write(f"{os.getpid()}\n{url}\n".encode())
            self._lock.flush()

    def release(self) -> None:
        """Give the lock up; it is free when the server has given it up too. Does nothing the second time."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    @property
    def _address(self) -> str:
        return f"embedded://{quote(str(self.path))}"

    def _open(self) -> IO[bytes]:
        descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "r+b")

    async def _wait_for(self, lock: IO[bytes]) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + _PREDECESSOR_S
        while not _try_lock(lock):
            owner, url = _read_note(lock)
            if clock() > deadline or _is_alive(owner):
                raise self._in_use(owner, url)
            await asyncio.sleep(_POLL_S)

    def _in_use(self, owner: int, url: str) -> Unreachable:
        who = f"process {owner}" if owner else "another process"
        join = f"connect to {url} instead" if url else "connect to its server instead"
        return Unreachable(
            f"the folder {self.path} is in use by {who}: {join}, end that process, or take another folder",
            address=self._address,
        )


def _try_lock(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_note(lock: IO[bytes]) -> tuple[int, str]:
    """Return process id and address that the holder left; (0, "") if there is no note to be read."""
    lock.seek(0)
    owner, _, url = lock.read(4096).decode(errors="replace").strip().partition("\n")
    if not owner.isascii() or not owner.isdigit() or not url.isprintable():
        return 0, ""
    return int(owner), url


def _is_alive(pid: int) -> bool:
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True
