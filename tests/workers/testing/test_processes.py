"""Processes: they are the command line, work as the members of a fleet, end with us, and say what they logged."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest

from tests.waiting import eventually
from tidings.bus import Bus, Record, State, WorkerRef
from tidings.workers.agent import ChatAgent, Step
from tidings.workers.context import Context
from tidings.workers.provider import Provider
from tidings.workers.testing import Clock, Fleet, Processes, ProcessLost, processes, tied
from tidings.workers.testing.processes import environment


class Plain:
    """An agent that another process can import."""

    async def step(self, ctx: Context) -> Step:
        """Do nothing."""
        return Step()


class Elsewhere(Plain):
    """An agent whose module another process does not find."""

    __module__ = "no_such_module"


@pytest.fixture
async def server() -> AsyncIterator[Bus]:
    """A bus on a server of its own, which other processes can reach."""
    async with Bus.connect("embedded://") as bus:
        yield bus


def is_there(pid: int) -> bool:
    """Return whether a process of ours is there, be it only to be collected."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.process
async def test_a_fleet_has_them_do_its_work(server: Bus, tidings_provider: Provider) -> None:
    """They work when the fleet is entered and are gone when it is left; one that we kill is not lost."""
    members = Processes(controllers=2, workers=0)
    async with Fleet(server, tidings_provider, processes=members, by="ann") as fleet:
        pids = [members.pid(name) for name in members.controllers]
        assert all(os.getpgid(pid) == pid for pid in pids)
        members.kill("controller-1")
        members.kill("controller-1")
        await eventually(lambda: members._members["controller-1"].over)
        await fleet.start("s", "hello")
        assert fleet.states("s") == [State.QUEUED]
        assert "controller.started" in members.log("controller-2")
        assert (members.holds(await fleet.status("s")), members.busy) == (False, False)
        # One that does not answer to SIGTERM keeps us waiting only so long.
        os.kill(pids[1], signal.SIGSTOP)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(processes, "END_S", 0.1)
            await members.close()
    assert not any(map(is_there, pids))
    assert members.holds(Record(session="s", state=State.RUNNING, epoch="e", worker=WorkerRef(name="worker-1"))) is False


@pytest.mark.process
async def test_one_that_ends_by_itself_is_lost(server: Bus, tidings_provider: Provider) -> None:
    """The error names it and has the end of its log; the others are ended."""
    members = Processes(controllers=0, workers=1)
    with pytest.raises(ProcessLost, match=r"(?s)worker-1 ended with code 2; the end of its log:\n.*no_such_module"):
        await Fleet(server, tidings_provider, Elsewhere, processes=members).__aenter__()
    assert not is_there(members.pid("worker-1"))


@pytest.mark.process
async def test_one_that_does_not_begin_to_work_is_lost(
    server: Bus, tidings_provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for with a bound."""
    monkeypatch.setattr(processes, "START_S", 0.0)
    members = Processes(workers=0)
    with pytest.raises(ProcessLost, match="controller-1 does not work within 0 s"):
        await Fleet(server, tidings_provider, processes=members).__aenter__()
    assert not is_there(members.pid("controller-1"))


async def test_what_processes_cannot_be_is_told(
    server: Bus, tidings_bus: Bus, tidings_provider: Provider, tidings_clock: Clock
) -> None:
    """A bus that they cannot reach, a time that we cannot move, an agent that they cannot import."""
    with pytest.raises(ValueError, match="use embedded://"):
        Fleet(tidings_bus, tidings_provider, processes=Processes())
    with pytest.raises(ValueError, match="leave the clock away"):
        Fleet(server, tidings_provider, processes=Processes(), clock=tidings_clock)

    class Local(Plain):
        pass

    for agent in (Local, Plain(), lambda: Plain()):
        with pytest.raises(TypeError, match="cannot be an agent in another process"):
            Fleet(server, tidings_provider, agent, processes=Processes())


async def test_the_settings_reach_them_and_ours_do_not(
    server: Bus, tidings_provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those of the fleet count; keys and proxies of a person do not reach them either."""
    monkeypatch.setenv("TIDINGS_ATTEMPTS", "1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-persons-own")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    members = Processes(workers=2)
    Fleet(server, tidings_provider, Plain, processes=members, lease_s=2.0)
    told = members._environment
    assert told["TIDINGS_REDIS_URL"] == server.url
    assert (told["TIDINGS_LEASE_S"], told["TIDINGS_API_BASE"]) == ("2.0", tidings_provider.base_url)
    assert told["TIDINGS_AGENT"] == f"{__name__}:Plain"
    assert "TIDINGS_ATTEMPTS" not in told
    assert told["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"
    assert "persons" not in " ".join(environment({}).values())
    assert members.workers == ("worker-1", "worker-2")
    Fleet(server, tidings_provider, ChatAgent, processes=members)
    assert members._environment["TIDINGS_AGENT"] == "tidings.workers.agent:ChatAgent"


@pytest.mark.parametrize("chunks", [[b"ignored", b""], []], ids=["it closes", "there is none"])
def test_a_tied_process_ends_with_the_pipe(monkeypatch: pytest.MonkeyPatch, chunks: list[bytes]) -> None:
    """What is written there before is read and ignored."""
    codes: list[int] = []

    def read(pipe: int, size: int) -> bytes:
        if not chunks:
            raise OSError
        return chunks.pop(0)

    monkeypatch.setattr(os, "read", read)
    monkeypatch.setattr(os, "_exit", codes.append)
    tied.end_with(7)
    assert (codes, chunks) == ([1], [])
