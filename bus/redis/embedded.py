"""A Redis or Valkey server of our own, on a Unix socket that only we may open, which ends when we do.

The server is the child of a small shell script that holds the read end of a pipe; we hold the only write end.
However we end, also by SIGKILL, the pipe closes, and the script ends the server and removes its folder.
Script and server run in a session of their own, so that Ctrl-C in the terminal reaches us alone. A process that
we fork without exec holds the pipe too, and the server then outlives us as long as that process does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from redis.exceptions import BusyLoadingError, RedisError

from tidings.bus.errors import Unreachable
from tidings.bus.redis.address import Address
from tidings.bus.redis.clients import Timeouts, command_client
from tidings.bus.redis.folder import DataFolder
from tidings.bus.redis.program import find_program

_START_S = 5.0
# Reading a large log takes longer; as long as the server says that it does, we wait.
_LOAD_S = 60.0
# The script gives the server 2 s after SIGTERM; see _SCRIPT.
_STOP_S = 4.0
_POLL_S = 0.005
_LOG_LINES = 8
# Room in sockaddr_un.sun_path: 104 bytes on macOS, 108 on Linux, the closing NUL included.
_LONGEST_SOCKET_PATH = 100
_SOCKET = "redis.sock"
_LOG = "server.log"
_EXIT = "exit"

# $1 is the folder, the rest is the command. Standard input is the pipe. Standard output is the lock on the
# data, if there is one: script and server keep it open, so that it is free only when both are gone; the
# watcher lets go of it, because its `sleep` outlives it.
_SCRIPT = f"""
folder=$1
shift
exec 3<&0
"$@" </dev/null 3<&- 4>&1 >"$folder/{_LOG}" 2>&1 &
server=$!
(
    while read -r _; do :; done
    kill -TERM "$server"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 0.1; done
    kill -KILL "$server"
) <&3 >/dev/null 2>&1 &
watcher=$!
wait "$server"
status=$?
kill -KILL "$watcher"
echo "$status" >"$folder/{_EXIT}"
while read -r _; do :; done <&3
rm -rf -- "$folder"
"""


class EmbeddedServer:
    """A server process of our own: ``async with EmbeddedServer() as server: server.url``.

    Args:
        data: Folder for what the server keeps: every write is on disk before it is acknowledged. Made, for us
            alone, if it is not there. Without it nothing is kept.

    Attributes:
        url: The address of its socket, for any process of the same user.
        pid: Its process id.
        program: The path of the binary that runs.
    """

    def __init__(self, data: str | os.PathLike[str] | None = None) -> None:
        self.url = ""
        self.pid = 0
        self.program = ""
        self._data = DataFolder(Path(data)) if data is not None else None
        self._folder: Path | None = None
        self._script: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<EmbeddedServer {self.url or 'not running'}>"

    async def __aenter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            BadAddress: There is no server program here, or the folder cannot be used.
            Unreachable: Another process has the folder open, or the server did not start; the text has the
                end of its log.
        """
        try:
            await self._start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the server and remove its temporary folder; the data stay. Does nothing the second time."""
        script, self._script = self._script, None
        folder, self._folder = self._folder, None
        try:
            if script is not None:
                await self._stop(script)
        finally:
            if folder is not None:
                # The script has done it, unless it was not started, or had to be killed.
                shutil.rmtree(folder, ignore_errors=True)
            if self._data is not None:
                self._data.release()

    async def _start(self) -> None:
        self.program = await asyncio.to_thread(find_program)
        lock = None if self._data is None else await self._data.acquire()
        try:
            self._folder = folder = _socket_folder()
            self._script = _spawn(folder, [self.program, *self._settings(folder)], lock)
        except OSError as error:
            raise Unreachable(
                f"the embedded server ({self.program}) cannot be started: {error.strerror}",
                address=self._address,
            ) from error
        self.url = f"unix://{quote(str(folder / _SOCKET))}"
        self.pid = await self._wait_until_ready(self._script, folder)
        if self._data is not None:
            self._data.announce(self.url)

    def _settings(self, folder: Path) -> list[str]:
        data = folder if self._data is None else self._data.path
        settings = {
            "port": "0",
            "unixsocket": str(folder / _SOCKET),
            "unixsocketperm": "700",
            "dir": str(data),
            "save": "",
            "appendonly": "no" if self._data is None else "yes",
            "appendfsync": "always",
            "daemonize": "no",
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    async def _wait_until_ready(self, script: subprocess.Popen[bytes], folder: Path) -> int:
        """Return the server's process id as soon as it answers."""
        clock = asyncio.get_running_loop().time
        started = clock()
        client = command_client(Address.parse(self.url), Timeouts(), 1)
        try:
            while True:
                limit = _START_S
                try:
                    await client.ping()
                    return int((await client.info("server"))["process_id"])
                except BusyLoadingError:
                    limit = _LOAD_S
                except RedisError:
                    pass
                if (folder / _EXIT).exists() or script.poll() is not None:
                    raise self._failed("ended at once", folder)
                if clock() - started > limit:
                    raise self._failed(f"did not answer within {limit:g} s", folder)
                await asyncio.sleep(_POLL_S)
        finally:
            await client.aclose()

    @property
    def _address(self) -> str:
        return f"embedded://{quote(str(self._data.path)) if self._data else ''}"

    def _failed(self, how: str, folder: Path) -> Unreachable:
        log = folder / _LOG
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
        tail = "\n".join("  " + "".join(c for c in line if c.isprintable()) for line in lines)
        return Unreachable(
            f"the embedded server ({self.program}) {how}; the end of its log:\n{tail or '  (empty)'}",
            address=self._address,
        )

    async def _stop(self, script: subprocess.Popen[bytes]) -> None:
        # The script takes it from here, also when we are killed meanwhile.
        _close(script.stdin)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _STOP_S
        try:
            # asyncio's own subprocesses need a thread or a child watcher per process to know of the end.
            while script.poll() is None and loop.time() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
        finally:
            if script.poll() != 0:
                _kill(script)


def _spawn(folder: Path, command: list[str], lock: IO[bytes] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT, "tidings-embedded", str(folder), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL if lock is None else lock,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def _kill(script: subprocess.Popen[bytes]) -> None:
    """Kill the script and all that it started; they are a process group of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(script.pid, signal.SIGKILL)
    script.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()


def _socket_folder() -> Path:
    """Make a temporary folder, for us alone, with a path that leaves room for that of a socket."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-"))
    if len(os.fsencode(folder / _SOCKET)) <= _LONGEST_SOCKET_PATH:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="tidings-", dir="/tmp"))
