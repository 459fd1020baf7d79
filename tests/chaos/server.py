"""A server that loses what its durability lets it lose: started, killed, cut back to what was on the disk, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections import deque
from enum import StrEnum
from pathlib import Path
from typing import Any

import redis

from tests.servers import RunningServer, ServerOptions

_SAMPLE_S = 0.05
_FSYNC_S = 1.0
_SNAPSHOT_S = 1.5
_UNUSABLE = "a-folder.rdb"
_USER = "actor"


class Durability(StrEnum):
    """How the server keeps its data, and so what a crash may take."""

    ALWAYS = "always"
    """Append-only file, fsynced before each reply: nothing that was acknowledged."""
    EVERYSEC = "everysec"
    """Append-only file, fsynced every second: the last second or two."""
    RDB = "rdb"
    """Snapshots: all since the last one."""
    NONE = "none"
    """Everything."""

    def lines(self) -> list[str]:
        """Return it as lines of a configuration file."""
        if self in (Durability.ALWAYS, Durability.EVERYSEC):
            # Never rewritten, so that the file only grows and can be cut back.
            return ["appendonly yes", f"appendfsync {self.value}", "auto-aof-rewrite-percentage 0"]
        return ["appendonly no"]


class ChaosServer:
    """One server of a run, and what happens to it.

    Args:
        binary: the server's program.
        durability: how it keeps its data.
        password: of its clients.

    Attributes:
        login: user and password of the actors.
        saved_at: (monotonic) time before which all is in the newest snapshot.
    """

    def __init__(self, binary: Path, durability: Durability, password: str) -> None:
        self.durability = durability
        extra = [*durability.lines(), "busy-reply-threshold 100", "enable-protected-configs local"]
        # Theirs is another user than ours, so that it can be locked out.
        user = f"{_USER} on >{password} ~* &* +@all"
        self.running = RunningServer(binary, ServerOptions(password=password, acl=[user], extra=extra))
        self._password = password
        self.login = f"{_USER}:{password}"
        self._sizes: deque[tuple[float, int]] = deque()
        self._loaded = 0
        self.saved_at = 0.0
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, on the data that are there."""
        self._sizes.clear()
        file = self._file()
        self._loaded = file.stat().st_size if file else 0
        await asyncio.to_thread(self.running.start)
        keep = {Durability.EVERYSEC: self._sample, Durability.RDB: self._save}.get(self.durability)
        if keep is not None:
            self._keeping = asyncio.create_task(keep(), name="chaos-keeping")

    async def crash(self, chance: random.Random) -> float | None:
        """End it as a power cut does.

        With everysec the file is cut back: what was written a second ago or earlier has been fsynced, what came later has not,
        and the system may have written any part of it by itself. So the cut falls anywhere in the last second, also within a
        command. Of a transaction that is cut in two the beginning is taken out, as docs/operations.md says: Redis 7.0 leaves it
        in the file, and carries it out with what comes next.
        With always all that was acknowledged has been fsynced, and a kill alone shows the same.

        Returns:
            Up to which (monotonic) time all that was acknowledged is kept; 0: nothing is; None: all of it.
        """
        await self._end_keeping()
        now, file, fsynced = time.monotonic(), self._file(), self._fsynced()
        await asyncio.to_thread(self.running.kill)
        if self.durability is Durability.EVERYSEC and file is not None:
            size = file.stat().st_size
            fsynced = min(fsynced, size)
            with file.open("rb+") as opened:
                opened.truncate(chance.randint(fsynced, size) if chance.random() < 0.3 else fsynced)
            file.write_bytes(without_half_a_transaction(file.read_bytes()))
            # Twice the second: a write waits for an fsync that is under way.
            return now - 2 * _FSYNC_S
        return {Durability.ALWAYS: None, Durability.RDB: self.saved_at}.get(self.durability, 0.0)

    async def flush(self) -> None:
        """Take all data away, for good: no later crash brings them back."""
        await self.command("FLUSHALL")
        if self.durability is Durability.RDB:
            await self.snapshot()

    async def lose_disk(self) -> None:
        """Let no snapshot be written from now on, so that it refuses writes (MISCONF)."""
        (self.running.data / _UNUSABLE).mkdir(exist_ok=True)
        await self.command("CONFIG", "SET", "dbfilename", _UNUSABLE, "save", "3600 1")
        await self.command("BGSAVE")

    async def find_disk(self) -> None:
        """Let it write again."""
        await self.command("CONFIG", "SET", "dbfilename", "dump.rdb", "save", "")

    async def lock_out(self) -> None:
        """Take no password of the actors from now on, and close their connections."""
        await self.command("ACL", "SETUSER", _USER, "resetpass")
        await self.command("CLIENT", "KILL", "USER", _USER)

    async def let_in(self) -> None:
        """Take their password again."""
        await self.command("ACL", "SETUSER", _USER, f">{self._password}")

    async def close(self) -> None:
        """End it and remove its folder."""
        await self._end_keeping()
        await asyncio.to_thread(self.running.close)

    async def command(self, *words: str | bytes | float) -> Any:
        """Send one command beside the proxies; returns the reply, or what kept it from one."""
        try:
            return await asyncio.to_thread(self.running.command, *words)
        except redis.RedisError as error:
            return error

    def _file(self) -> Path | None:
        return next(iter(self.running.data.glob("appendonlydir/*.incr.aof")), None)

    def _fsynced(self) -> int:
        """Bytes of the file that were there a second ago, or when it was loaded."""
        now = time.monotonic()
        return max((size for at, size in self._sizes if at <= now - _FSYNC_S), default=self._loaded)

    async def _sample(self) -> None:
        """Note how large the file is, again and again."""
        while True:
            if file := self._file():
                self._sizes.append((time.monotonic(), file.stat().st_size))
            while self._sizes and self._sizes[0][0] < time.monotonic() - 3 * _FSYNC_S:
                self._sizes.popleft()
            await asyncio.sleep(_SAMPLE_S)

    async def _save(self) -> None:
        """Take snapshots at times that we know; where the server takes them by itself nobody does."""
        while True:
            await asyncio.sleep(_SNAPSHOT_S)
            await self.snapshot()

    async def snapshot(self) -> None:
        """Write all that is there to the disk."""
        began = time.monotonic()
        if await self.command("SAVE") is True:
            self.saved_at = began

    async def _end_keeping(self) -> None:
        task, self._keeping = self._keeping, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def without_half_a_transaction(log: bytes) -> bytes:
    """Return an append-only file without the beginning of a transaction at its end, as ``redis-check-aof --fix`` does."""
    at = whole = 0
    inside = False
    while (command := _command_at(log, at)) is not None:
        name, at = command
        inside = name != b"EXEC" and (inside or name == b"MULTI")
        whole = whole if inside else at
    return log[:whole] if inside else log


def _command_at(log: bytes, at: int) -> tuple[bytes, int] | None:
    """Return the name of the command at a place, and where it ends; None where there is no whole one."""
    head, end = re.compile(rb"\*(\d+)\r\n").match(log, at), at
    if head is None:
        return None
    name, end = b"", head.end()
    for _ in range(int(head[1])):
        size = re.compile(rb"\$(\d+)\r\n").match(log, end)
        if size is None or size.end() + int(size[1]) + 2 > len(log):
            return None
        name, end = name or log[size.end() : size.end() + int(size[1])].upper(), size.end() + int(size[1]) + 2
    return name, end
