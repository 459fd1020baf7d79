"""The observer, which knows nothing of Tidings but its wire format."""

from __future__ import annotations

import ast
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.processes import environment
from tests.servers import RunningServer
from tests.waiting import PATIENCE_S
from tidings.bus import Bus, Ending, Lease, LlmAttempt, LlmRateLimited, LlmRetry, Reason, Trigger, WorkerRef

OBSERVER = Path(__file__).resolve().parents[2] / "examples" / "observer.py"
AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_it_imports_nothing_of_ours() -> None:
    """Any Redis client can do what it does."""
    nodes = list(ast.walk(ast.parse(OBSERVER.read_text())))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names) == {"redis"}


@asynccontextmanager
async def _observing(url: str) -> AsyncIterator[asyncio.StreamReader]:
    """Run the observer and give its output; it does not outlive the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(OBSERVER), url, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.communicate()


async def _claim(bus: Bus, session: str) -> Lease:
    claim = await bus.worker.claim(WorkerRef(name="w1"), session=session, create=True)
    assert claim is not None
    return claim


@pytest.mark.process
async def test_it_shows_what_is_and_what_comes(bus: Bus, url: str) -> None:
    """First the sessions as they are, then a line a notice, with the words of the wire."""
    claim = await _claim(bus, "old")
    retry = LlmRetry(reason=Reason.RATE_LIMIT, attempt=2, max_attempts=6, wait_s=4, retry_at=AT)
    attempt = LlmAttempt(reason=Reason.RATE_LIMIT, attempt=3, max_attempts=6)
    limited = LlmRateLimited(reason=Reason.QUOTA_EXHAUSTED, attempt=1, max_attempts=6)
    async with _observing(url) as lines, asyncio.timeout(PATIENCE_S):
        assert (await lines.readline()).decode() == "old              is running\n"
        await bus.publish("old", retry)
        await bus.publish("old", attempt)
        await bus.publish("old", limited)
        await claim.release(Ending(Trigger.YIELD, read=0, why="said\x1b[2J"))
        await _claim(bus, "new")
        printed = [(await lines.readline()).decode().rstrip("\n") for _ in range(7)]
    assert printed == [
        "old              llm.retry        attempt 2 of 6: rate_limit, again at 2026-11-22T12:00:00Z",
        "old              llm.attempt      attempt 3 of 6 goes out",
        "old              llm.rate_limited parked: quota_exhausted, until somebody resumes it",
        "old              worker.released  w1",
        "old              session.state    running -> awaiting_input: said [2J",
        "new              worker.claimed   w1",
        "new              session.state    new -> running: taken up by a worker",
    ]


@pytest.mark.process
async def test_after_a_broken_connection_it_looks_again(bus: Bus, url: str, valkey_server: RunningServer) -> None:
    """What is missed cannot be shown, but what is so now can."""
    await _claim(bus, "old")
    async with _observing(url) as lines, asyncio.timeout(PATIENCE_S):
        await lines.readline()
        valkey_server.command("CLIENT", "KILL", "TYPE", "PUBSUB")
        assert (await lines.readline()).decode() == "old              is running\n"


@pytest.mark.process
async def test_it_says_so_in_one_line_where_there_is_no_server(tmp_path: Path) -> None:
    """A wrong address ends it with code 1 and no traceback."""
    address = f"unix://{tmp_path}/none.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(OBSERVER), address, env=environment(), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        _, told = await process.communicate()
    assert (process.returncode, told.decode().count("\n")) == (1, 1)
