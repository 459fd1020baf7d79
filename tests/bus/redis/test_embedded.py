from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bus.redis.resp import OK, PONG, bulk, stranger
from tests.bus.redis.test_program import install
from tests.processes import environment
from tests.servers import redis_binary, valkey_binary
from tests.waiting import eventually
from tidings.bus.errors import BadAddress, Unreachable
from tidings.bus.redis import embedded, open_connection
from tidings.bus.redis.embedded import EmbeddedServer

VALKEY = str(valkey_binary())
PROGRAMS = [VALKEY, *([str(redis_binary())] if redis_binary() else [])]


@pytest.fixture(autouse=True)
def _valkey(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the server that is there on every machine, unless a test says otherwise."""
    monkeypatch.setattr(embedded, "find_program", lambda: VALKEY)


@pytest.fixture(params=PROGRAMS, ids=lambda path: Path(path).name)
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run each server program in turn."""
    monkeypatch.setattr(embedded, "find_program", lambda: request.param)
    return str(request.param)


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of its own for each test, with a short path, to see what is left in it."""
    tmp_path_factory.getbasetemp()  # made now, elsewhere
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def left_in(folder: Path) -> list[Path]:
    """Return what there is in a folder."""
    return list(folder.iterdir())


def is_there(pid: int) -> bool:
    """Return whether a process of that id runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        # Where there is no /proc, a zombie is not told from a process: some tests then wait for init.
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    except ProcessLookupError:
        return False


async def put(url: str, key: str, value: str) -> None:
    """Store one value."""
    async with open_connection(url) as connection:
        await connection.commands.set(key, value)


async def get(url: str, key: str) -> bytes | None:
    """Return one value."""
    async with open_connection(url) as connection:
        value = await connection.commands.get(key)
        assert value is None or isinstance(value, bytes)
        return value


async def test_a_server_runs_while_its_context_is_open(program: str, temporary: Path) -> None:
    """It answers at its URL, tells what runs, and leaves no process and no file behind."""
    async with EmbeddedServer() as server:
        assert server.program == program
        assert is_there(server.pid)
        assert repr(server) == f"<EmbeddedServer {server.url}>"
        await put(server.url, "a", "b")
        assert await get(server.url, "a") == b"b"
    assert not is_there(server.pid)
    assert left_in(temporary) == []
    await server.aclose()


async def test_only_a_socket_that_is_ours_leads_to_the_server(temporary: Path) -> None:
    """There is no port, and nobody else may open the folder of the socket."""
    async with EmbeddedServer() as server, open_connection(server.url) as connection:
        assert await connection.commands.config_get("port") == {"port": "0"}
        (folder,) = left_in(temporary)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [path.is_socket() for path in left_in(folder) if path.name == "redis.sock"] == [True]


async def test_without_a_folder_nothing_is_kept(temporary: Path) -> None:
    """No snapshot and no log is written, and the next server begins empty."""
    async with EmbeddedServer() as server:
        await put(server.url, "a", "b")
        async with open_connection(server.url) as connection:
            kept = await connection.commands.config_get("save", "appendonly")
            assert kept == {"save": "", "appendonly": "no"}
    async with EmbeddedServer() as server:
        assert await get(server.url, "a") is None


async def test_a_folder_keeps_what_was_acknowledged(program: str, tmp_path: Path) -> None:
    """Every write is synced to disk, and the next server on the folder has it."""
    data = tmp_path / "made" / "here with spaces"
    async with EmbeddedServer(data) as server:
        await put(server.url, "a", "b")
        async with open_connection(server.url) as connection:
            kept = await connection.commands.config_get("appendonly", "appendfsync")
            assert kept == {"appendonly": "yes", "appendfsync": "always"}
    assert data.stat().st_mode & 0o777 == 0o700
    async with EmbeddedServer(str(data)) as server:
        assert await get(server.url, "a") == b"b"


async def test_a_folder_is_open_to_one_server_at_a_time(tmp_path: Path, temporary: Path) -> None:
    """A second one on it is refused with the address of the first, and harms nothing."""
    async with EmbeddedServer(tmp_path) as server:
        with pytest.raises(Unreachable, match=f"connect to {server.url}"):
            async with EmbeddedServer(tmp_path):
                pass
        await put(server.url, "a", "b")
        assert len(left_in(temporary)) == 1


async def test_the_data_may_lie_where_a_socket_could_not(tmp_path: Path) -> None:
    """The length of the data folder's path does not matter to the socket."""
    data = tmp_path.joinpath(*["a-long-name-" * 5] * 3)
    async with EmbeddedServer(data) as server:
        await put(server.url, "a", "b")


async def test_a_long_temporary_path_is_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system's temporary folder is too deep for a socket, /tmp is used."""
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    async with EmbeddedServer() as server:
        assert server.url.startswith("unix:///tmp/tidings-")
    assert left_in(deep) == []


async def test_the_address_names_the_folder(tmp_path: Path) -> None:
    """`embedded:///path` opens the server on that folder."""
    async with open_connection(f"embedded://{tmp_path}/data") as connection:
        await connection.commands.set("a", "b")
    async with open_connection(f"embedded://{tmp_path}/data") as connection:
        assert await connection.commands.get("a") == b"b"


async def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: Path) -> None:
    """The end of its log is quoted, printable, and nothing is left behind."""
    path = install(tmp_path, "broken-server", "no room for \x1b[31ma server")
    monkeypatch.setattr(embedded, "find_program", lambda: path)
    with pytest.raises(Unreachable, match=r"broken-server\) ended at once.*\n  no room for \[31ma server") as caught:
        async with EmbeddedServer(tmp_path / "data"):
            pass
    assert caught.value.address == f"embedded://{tmp_path}/data"
    assert left_in(temporary) == []


async def test_a_machine_that_can_start_nothing_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: Path
) -> None:
    """When not even the shell can be started, the error is ours and nothing is left, not even the lock."""

    def fail(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_spawn", fail)
        with pytest.raises(Unreachable, match="cannot be started: Resource temporarily unavailable"):
            async with EmbeddedServer(tmp_path):
                pass
    assert left_in(temporary) == []
    async with EmbeddedServer(tmp_path):
        pass


async def test_a_program_that_cannot_be_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shell has to say is in the error."""
    monkeypatch.setattr(embedded, "find_program", lambda: "/no/such/server")
    with pytest.raises(Unreachable, match=r"ended at once.*\n.*not found"):
        async with EmbeddedServer():
            pass


def install_idle(folder: Path) -> Path:
    """Put a program there that runs, leaves its process id, and does nothing."""
    path = folder / "idle-server"
    path.write_text('#!/bin/sh\necho $$ >"$0.pid"\nexec sleep 1000\n')
    path.chmod(0o755)
    return path


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: Path) -> None:
    """A program that runs and does not listen is ended after the limit."""
    path = install_idle(tmp_path)
    monkeypatch.setattr(embedded, "find_program", lambda: str(path))
    monkeypatch.setattr(embedded, "_START_S", 0.3)
    with pytest.raises(Unreachable, match=r"did not answer within 0.3 s.*\n  \(empty\)"):
        async with EmbeddedServer():
            pass
    assert not is_there(int(path.with_suffix(".pid").read_text()))
    assert left_in(temporary) == []


async def test_a_server_that_is_loading_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: Path) -> None:
    """Reading a large log may take longer than the start of a server otherwise may, but not for ever."""
    pings = 0

    def answer(words: list[bytes]) -> bytes:
        nonlocal pings
        pings += words[0] == b"PING"
        loading = b"-LOADING Redis is loading the dataset in memory\r\n"
        return {b"PING": loading if pings < 4 else PONG, b"INFO": bulk("process_id:1234")}.get(words[0], OK)

    path = install_idle(tmp_path)
    monkeypatch.setattr(embedded, "find_program", lambda: str(path))
    monkeypatch.setattr(embedded, "_socket_folder", lambda: temporary)
    monkeypatch.setattr(embedded, "_START_S", 0.0)
    async with stranger(answer, temporary / "redis.sock"):
        async with EmbeddedServer() as server:
            assert server.pid == 1234
            assert pings == 4
        pings = 0
        os.mkdir(temporary)
    async with stranger(answer, temporary / "redis.sock"):
        monkeypatch.setattr(embedded, "_LOAD_S", 0.0)
        with pytest.raises(Unreachable, match="did not answer within 0 s"):
            async with EmbeddedServer():
                pass
    os.mkdir(temporary)


async def test_a_frozen_server_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    """What does not heed the closing is killed, and its folder removed."""
    monkeypatch.setattr(embedded, "_STOP_S", 0.1)
    async with EmbeddedServer() as server:
        os.kill(server.pid, signal.SIGSTOP)
    await eventually(lambda: not is_there(server.pid))
    assert left_in(temporary) == []


async def test_a_crashed_server_leaves_nothing_behind(temporary: Path) -> None:
    """When the server dies by itself, closing still cleans up."""
    async with EmbeddedServer() as server:
        os.kill(server.pid, signal.SIGKILL)
        await eventually(lambda: not is_there(server.pid))
        with pytest.raises(Unreachable):
            await put(server.url, "a", "b")
    assert left_in(temporary) == []


async def test_a_lost_guard_leaves_nothing_behind(temporary: Path) -> None:
    """When the script that guards the server was killed, closing ends the server."""
    async with EmbeddedServer() as server:
        guard = os.getpgid(server.pid)
        os.kill(guard, signal.SIGKILL)
    await eventually(lambda: not is_there(server.pid))
    assert left_in(temporary) == []


async def test_a_cancelled_start_leaves_nothing_behind(temporary: Path, tmp_path: Path) -> None:
    """Whoever is cancelled while the server starts has no server afterwards, and the folder is free."""
    starting = asyncio.create_task(EmbeddedServer(tmp_path).__aenter__())
    await eventually(lambda: left_in(temporary))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert left_in(temporary) == []
    async with EmbeddedServer(tmp_path):
        pass


async def test_a_cancelled_closing_ends_the_server(temporary: Path, tmp_path: Path) -> None:
    """Closing that is cancelled half way does not wait, but leaves no server running."""
    server = await EmbeddedServer(tmp_path).__aenter__()
    closing = asyncio.create_task(server.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await eventually(lambda: not is_there(server.pid))
    await eventually(lambda: not left_in(temporary))


async def test_no_program_is_told_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: Path
) -> None:
    """Without a server program there is no folder either."""

    def none() -> str:
        raise BadAddress("there is none")

    monkeypatch.setattr(embedded, "find_program", none)
    with pytest.raises(BadAddress, match="there is none"):
        async with EmbeddedServer(tmp_path / "data"):
            pass
    assert left_in(tmp_path) == []
    assert left_in(temporary) == []


# The process of a user: it starts a server, tells us about it, and waits for its end.
_OWNER = """
import asyncio, sys
from tidings.bus.redis import embedded, open_connection

async def main():
    embedded.find_program = lambda: sys.argv[1]
    async with embedded.EmbeddedServer(*sys.argv[2:]) as server:
        print(server.pid, server.url, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            async with open_connection(server.url) as connection:
                print("served", await connection.commands.ping(), flush=True)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@dataclass
class Owner:
    """A process that runs an embedded server, and what it said about it."""

    process: subprocess.Popen[str]
    server: int
    url: str

    def read_line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def start_owner(program: str, *data: str) -> subprocess.Popen[str]:
    """Start such a process, in a process group of its own as a terminal would."""
    return subprocess.Popen(
        [sys.executable, "-c", _OWNER, program, *data],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@asynccontextmanager
async def owner_of(program: str, *data: str) -> AsyncIterator[Owner]:
    """Run such a process until it has its server, and to the end of the context at most."""
    process = start_owner(program, *data)
    owner = Owner(process, 0, "")
    try:
        pid, owner.url = (await asyncio.to_thread(owner.read_line)).split()
        owner.server = int(pid)
        yield owner
    finally:
        process.kill()
        process.communicate()


async def test_the_server_of_a_killed_process_ends(program: str, temporary: Path) -> None:
    """A SIGKILL leaves us no last word; still the server ends and its folder goes."""
    async with owner_of(program) as owner:
        assert is_there(owner.server)
        owner.process.kill()
        await eventually(lambda: not is_there(owner.server))
        await eventually(lambda: not left_in(temporary))


async def test_a_frozen_server_of_a_killed_process_ends_too(temporary: Path) -> None:
    """A server that does not heed SIGTERM gets SIGKILL after a grace of 2 s."""
    async with owner_of(VALKEY) as owner:
        os.kill(owner.server, signal.SIGSTOP)
        owner.process.kill()
        await eventually(lambda: not is_there(owner.server))
        await eventually(lambda: not left_in(temporary))


async def test_the_data_of_a_killed_process_can_be_opened_at_once(tmp_path: Path) -> None:
    """The successor waits for the orphaned server to end, and finds every acknowledged write."""
    async with owner_of(VALKEY, str(tmp_path)) as owner:
        await put(owner.url, "a", "b")
        # The orphan lives on until its script kills it, 2 s later.
        os.kill(owner.server, signal.SIGSTOP)
        owner.process.kill()
        owner.process.wait()
        async with EmbeddedServer(tmp_path) as successor:
            assert not is_there(owner.server)
            assert await get(successor.url, "a") == b"b"


async def test_ctrl_c_reaches_us_and_not_the_server() -> None:
    """An interrupt from the terminal ends the process, which is served until it has said its last word."""
    async with owner_of(VALKEY) as owner:
        assert os.getsid(owner.server) != os.getsid(owner.process.pid)
        os.killpg(owner.process.pid, signal.SIGINT)
        assert await asyncio.to_thread(owner.read_line) == "served True"
        assert await asyncio.to_thread(owner.read_line) == "interrupted"
        await asyncio.to_thread(owner.process.wait, 10)
        assert not is_there(owner.server)
