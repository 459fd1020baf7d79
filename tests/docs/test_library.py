"""What docs/library.md shows is run as it stands there, but for the address of the server."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from tests.conftest import SpawnTidings
from tests.processes import end, environment
from tests.waiting import PATIENCE_S, eventually
from tests.workers.testing.test_plugin import INI, LOADED
from tidings import bus as public
from tidings.bus import Bus, LlmRetry, Reason, State
from tidings.bus.messages.planes import RESERVED, TYPES
from tidings.workers.controller import Controller
from tidings.workers.llm import load_litellm
from tidings.workers.provider import Fault, Provider, ProviderSettings
from tidings.workers.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE, README = CHECKOUT / "docs" / "library.md", CHECKOUT / "README.md"
ADDRESS = "redis://127.0.0.1:6379/0"
"""The server of the page; a test has one of its own in its place."""

_PROGRAM = re.compile(
    r"<!-- file: (?P<name>\w+\.py) -->\n```python\n(?P<code>.*?)^```$(?:\n\n```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


class Program(NamedTuple):
    """A program of the page, and what the page says that it prints."""

    code: str
    printed: str


PROGRAMS = {
    found["name"]: Program(found["code"], found["printed"] or "") for found in _PROGRAM.finditer(PAGE.read_text(encoding="utf-8"))
}
PARTS = ("poem.py", "loop.py", "messages.py", "test_poem.py")
"""What other programs import, and what pytest runs."""
TOGETHER = ("follow.py", "every_session.py", "start.py", "lease.py", "own_loop.py", "draft.py", "reader.py")
"""Programs that have a test of their own below, because something else runs beside them."""
LEFT_OPEN = ("-W", "ignore::ResourceWarning")
"""A program that ends after its last call to a model leaves it to Python to close litellm's connections; see `close_litellm`."""
BUSY = ("loop.blocked", "loop.moves_again")
"""What a program says where the machine is so busy that its event loop stands still for a second."""
ALONE = [name for name in PROGRAMS if name not in (*PARTS, *TOGETHER)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all programs of the page, as a reader would have saved them."""
    for name, program in PROGRAMS.items():
        (tmp_path / name).write_text(program.code, encoding="utf-8")
    return tmp_path


Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[Start]:
    """A starter of programs of the page, with warnings as errors; they do not outlive the test."""
    started: list[asyncio.subprocess.Process] = []

    async def starting(name: str, address: str = ADDRESS, instead_of: str = ADDRESS, **env: str) -> asyncio.subprocess.Process:
        code = PROGRAMS[name].code
        assert address == instead_of or instead_of in code
        (folder / name).write_text(code.replace(instead_of, address), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", *(LEFT_OPEN if name == "own_loop.py" else ()), name),
            env=environment(env),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        return process

    yield starting
    for process in started:
        await end(process)


async def _output(process: asyncio.subprocess.Process) -> str:
    """Return what a program prints until it ends; it must end well."""
    async with asyncio.timeout(PATIENCE_S):
        printed, complaints = await process.communicate()
    told = [line for line in complaints.decode().splitlines() if line not in BUSY]
    assert (process.returncode, told) == (0, []), printed.decode()
    return printed.decode()


async def _lines(process: asyncio.subprocess.Process, number: int) -> str:
    """Return the next lines of a program that goes on."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return "".join([(await process.stdout.readline()).decode() for _ in range(number)])


async def _followed(url: str, *question: str) -> None:
    """Wait until a server has a subscriber, so that what is told from now on is heard."""
    with redis.Redis.from_url(url) as client:
        await eventually(lambda: _count(client.execute_command("PUBSUB", *question)), message=" ".join(question))


def _count(answer: object) -> int:
    return int(answer[-1] if isinstance(answer, list) else str(answer))


@asynccontextmanager
async def _controller(bus: Bus) -> AsyncIterator[None]:
    deciding = Controller(bus, Settings())
    task = asyncio.create_task(deciding.run())
    try:
        yield
    finally:
        deciding.stop()
        await task


@asynccontextmanager
async def _provider() -> AsyncIterator[tuple[Provider, dict[str, str]]]:
    """A provider that echoes, and the environment of a program that calls it."""
    async with Provider(ProviderSettings()) as provider:
        yield provider, {"OPENAI_API_KEY": "sk-library-0123456789", "OPENAI_API_BASE": provider.base_url}


# the page


def test_every_block_of_python_has_a_name() -> None:
    """So that it is run by a test."""
    assert PAGE.read_text(encoding="utf-8").count("```python") == len(PROGRAMS)
    assert {*PARTS, *TOGETHER} < set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_has_at_most_ten_lines(name: str) -> None:
    """Blank ones not counted, as the page says."""
    assert len([line for line in PROGRAMS[name].code.splitlines() if line.strip()]) <= 10


def test_every_error_of_the_page_is_one_of_the_bus() -> None:
    """The table names classes that `tidings.bus` has."""
    _, _, table = PAGE.read_text(encoding="utf-8").partition("## Errors you may meet")
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert len(named) > 10
    assert [name for name in named if not issubclass(getattr(public, name, object), public.TidingsError)] == []


def test_the_reserved_beginnings_of_the_page_are_all_there_are() -> None:
    """The list of the page is the one that the bus goes by."""
    (sentence,) = re.findall(r"Types that begin with (.*?) are reserved", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert tuple(re.findall(r"`([a-z.]+)`", sentence)) == RESERVED


# programs that run alone


@pytest.fixture
def own_types() -> Iterator[None]:
    """The classes of messages that a program defines are forgotten after it, as they are with its process."""
    before = dict(TYPES)
    yield
    TYPES.clear()
    TYPES.update(before)


@pytest.mark.usefixtures("own_types")
@pytest.mark.parametrize("name", ALONE)
def test_a_program_prints_what_the_page_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends well and without a warning; what it prints is the block below it."""
    program = PROGRAMS[name]
    assert program.printed
    exec(compile(program.code, name, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == program.printed


@pytest.mark.process
async def test_connecting_works_with_each_kind_of_address(start: Start, real_url: str) -> None:
    """The first program runs with a server of its own, and with one that is there."""
    embedded = await _output(await start("connect.py", "embedded://", instead_of="memory://"))
    assert embedded.startswith("unix://")
    there = await _output(await start("connect.py", real_url, instead_of="memory://"))
    assert there == f"{real_url}\n"


# programs that need a server, and others beside them


@pytest.mark.process
async def test_a_follower_prints_what_is_published_elsewhere(start: Start, real_url: str) -> None:
    """It is there before the session, and hears all of it: the lease, the notice, the end of the lease."""
    follower = await start("follow.py", real_url)
    await _followed(real_url, "NUMSUB", "status.report")
    assert await _output(await start("publish.py", real_url, instead_of="memory://")) == PROGRAMS["publish.py"].printed
    expected = _said_to_be_printed_after("follow.py")
    assert await _lines(follower, expected.count("\n")) == expected
    assert follower.returncode is None


@pytest.mark.process
async def test_a_follower_of_all_sessions_prints_the_retry_of_one(start: Start, real_url: str) -> None:
    """The session begins after the follower; what is not a retry it does not print."""
    follower = await start("every_session.py", real_url)
    await _followed(real_url, "NUMPAT")
    async with Bus.connect(real_url) as bus, bus.worker.lease("sea", create=True) as lease:
        await lease.publish(LlmRetry(reason=Reason.RATE_LIMIT, attempt=1, max_attempts=6))
    assert await _lines(follower, 1) == _said_to_be_printed_after("every_session.py")


def _said_to_be_printed_after(name: str) -> str:
    """Return the next block of text after a program."""
    _, _, after = PAGE.read_text(encoding="utf-8").partition(f"<!-- file: {name} -->")
    return after.partition("```text\n")[2].partition("```")[0]


@pytest.mark.process
async def test_a_command_is_applied_then_refused(start: Start, spawn_tidings: SpawnTidings, real_url: str) -> None:
    """A controller of the command line decides it; the second time there is such a session already."""
    await spawn_tidings("controller", "--redis", real_url)
    assert await _output(await start("start.py", real_url)) == PROGRAMS["start.py"].printed
    assert "exists already" in await _output(await start("start.py", real_url))


def test_the_lease_of_ten_lines_is_that_of_the_readme() -> None:
    """Which `tests/docs/test_pages.py` runs."""
    assert PROGRAMS["lease.py"].code in README.read_text(encoding="utf-8")


@pytest.mark.process
async def test_the_loop_parks_and_obeys_a_person(start: Start, real_url: str) -> None:
    """A long limit parks the session, a resume begins anew, a pause ends a wait; nothing is asked or said twice."""
    async with Bus.connect(real_url) as bus, _controller(bus), _provider() as (provider, env):
        provider.script(Fault.parse("429:retry-after=120"), Fault.parse("429:retry-after=30"))
        program = await start("own_loop.py", real_url, PYTHONUNBUFFERED="1", **env)
        assert "rate_limit" in await _lines(program, 1)
        parked = await bus.status("poem")
        assert (parked.state, parked.held, parked.resume_at is not None) == (State.RATE_LIMITED, False, True)
        await bus.resume("poem", by="ann")
        await eventually(lambda: len(provider.requests) == 2)
        await bus.pause("poem", by="ann", why="lunch")
        assert "paused by ann" in await _lines(program, 1)
        await bus.resume("poem", by="ann")
        assert await _output(program) == PROGRAMS["own_loop.py"].printed
        assert [event.type for event in await bus.history("poem")] == ["user.message", "agent.message"]
        assert len(provider.requests) == 3


@pytest.mark.process
async def test_a_message_of_ones_own_is_read_where_its_class_is_not_known(start: Start, real_url: str) -> None:
    """The writer knows the class and reads its field; the reader gets the fields as they are."""
    assert await _output(await start("draft.py", real_url)) == PROGRAMS["draft.py"].printed
    assert await _output(await start("reader.py", real_url)) == PROGRAMS["reader.py"].printed


@pytest.fixture(scope="module")
def _imported_once() -> None:
    """Import what is slow outside of the run of pytest within pytest: such a run forgets what it has imported."""
    import tidings.workers.testing.fleet  # noqa: F401

    load_litellm()


@pytest.mark.usefixtures("_imported_once")
def test_the_test_of_the_page_passes(pytester: pytest.Pytester) -> None:
    """It runs with the plugin and pytest-asyncio, warnings being errors; with another answer it would fail."""
    for name in ("poem.py", "test_poem.py"):
        (pytester.path / name).write_text(PROGRAMS[name].code, encoding="utf-8")
    wrong = PROGRAMS["test_poem.py"].code.replace('"finished"', '"stopped"')
    (pytester.path / "test_wrong.py").write_text(wrong, encoding="utf-8")
    pytester.makeini(INI.format(mode="auto"))
    pytester.syspathinsert()
    result = pytester.runpytest_inprocess(*LOADED)
    result.assert_outcomes(passed=1, failed=1)
