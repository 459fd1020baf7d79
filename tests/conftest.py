"""Fixtures for every test: real servers, the transports that the bus must serve alike, a connected bus."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import pytest
from hypothesis import settings

from tests.processes import end, start_tidings
from tests.servers import RunningServer, ServerOptions, redis_binary, valkey_binary

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from bus import Bus

# The test kit that Tidings ships, and pytest's own for tests of plugins.
pytest_plugins = ["workers.testing.plugin", "pytester"]

REAL = ("valkey", "redis") if redis_binary() else ("valkey",)
TRANSPORTS = ("memory", *REAL)


def _isolate_environment() -> None:
    """Keep the developer's Redis, keys and proxies out of the tests, and litellm off the network."""
    for name in list(os.environ):
        # TIDINGS_CHROMIUM says where the browser of tests/page is.
        if (name.startswith("TIDINGS_") and name != "TIDINGS_CHROMIUM") or name.endswith("_API_KEY"):
            del os.environ[name]
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


_isolate_environment()

# No deadline: a busy machine is not a failing test. On CI the examples are the same every time.
settings.register_profile("tidings", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("tidings")


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


@pytest.fixture(params=TRANSPORTS)
def redis_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, over each transport in turn."""
    return _empty_database(request)


@pytest.fixture(params=REAL)
def real_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, on each real server in turn."""
    return _empty_database(request)


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Bus]:
    """A bus connected to an empty database, over each transport in turn."""
    from bus import Bus

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
