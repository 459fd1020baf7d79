"""What a server says of itself, and what we may do there. On real servers: fakeredis has no INFO, no CONFIG and no rights."""

from __future__ import annotations

import pytest

from tests.conftest import MakeServer
from tests.workers.cli.stage import bring
from tidings.bus import Bus, Role, Unreachable
from tidings.bus.channels import Names
from tidings.bus.roles import acl
from tidings.bus.states import State

PASSWORD = "correct-horse"


async def test_a_server_in_memory_says_nothing_of_itself() -> None:
    """What is not known is None; the round trip is measured all the same."""
    async with Bus.connect("memory://") as bus:
        server = await bus.admin.server()
        assert (server.program, server.version, server.appendonly, server.maxmemory_policy) == (None, None, None, None)
        assert 0 <= server.latency_s <= server.latency_worst_s
        assert await bus.admin.denied(Role.WORKER) == ()


async def test_a_real_server_says_what_it_is(real_url: str) -> None:
    """Program and version are those of the binary, its clock is ours on the same machine."""
    async with Bus.connect(real_url) as bus:
        server = await bus.admin.server()
    assert server.program in ("redis", "valkey")
    assert server.version is not None
    assert int(server.version.split(".")[0]) >= 7
    assert server.replica is False
    assert abs(server.clock_s) < 1
    assert server.memory is not None


@pytest.mark.parametrize(
    ("extra", "appendonly", "appendfsync", "policy"),
    [
        (["appendonly no"], False, "everysec", "noeviction"),
        (["appendonly yes", "appendfsync everysec"], True, "everysec", "noeviction"),
        (["appendonly yes", "appendfsync always"], True, "always", "noeviction"),
        (["appendonly yes", "appendfsync no", "maxmemory 50mb", "maxmemory-policy allkeys-lru"], True, "no", "allkeys-lru"),
    ],
)
async def test_how_it_keeps_data_is_told(
    make_server: MakeServer, extra: list[str], appendonly: bool, appendfsync: str, policy: str
) -> None:
    """Each configuration is told as it is."""
    async with Bus.connect(make_server(extra=extra).url) as bus:
        server = await bus.admin.server()
    assert (server.appendonly, server.appendfsync, server.maxmemory_policy) == (appendonly, appendfsync, policy)
    assert server.maxmemory == (50 * 1024 * 1024 if "maxmemory 50mb" in extra else 0)


async def test_what_we_may_not_ask_is_unknown(make_server: MakeServer) -> None:
    """Without INFO and CONFIG nothing is known, and nothing fails."""
    server = make_server(acl=[f"bare on >{PASSWORD} resetchannels -@all +time +ping"])
    async with Bus.connect(f"unix://bare:{PASSWORD}@{server.socket}") as bus:
        found = await bus.admin.server()
    assert (found.program, found.version, found.appendonly, found.appendfsync) == (None, None, None, None)


async def test_a_server_without_config_still_tells_most(make_server: MakeServer) -> None:
    """Who hosts Redis often takes CONFIG away; INFO has all but the rhythm of the syncs."""
    server = make_server(appendonly=True, extra=['rename-command CONFIG ""'])
    async with Bus.connect(server.url) as bus:
        found = await bus.admin.server()
    assert (found.appendonly, found.appendfsync, found.maxmemory_policy) == (True, None, "noeviction")


async def test_a_server_that_is_away_is_told_as_such(make_server: MakeServer) -> None:
    """Questions raise the one error for it."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        server.kill()
        for ask in (bus.admin.server, bus.admin.queues, bus.admin.processes):
            with pytest.raises(Unreachable):
                await ask()
        with pytest.raises(Unreachable):
            await bus.admin.denied(Role.WORKER)


async def test_the_queues_tell_who_has_waited_longest(bus: Bus) -> None:
    """`ready` by the time of queueing, `due` by the time at which to look."""
    empty = await bus.admin.queues()
    assert (empty.ready.length, empty.ready.first, empty.due.since) == (0, None, None)
    await bring(bus, "first", State.QUEUED)
    await bring(bus, "second", State.QUEUED)
    queues = await bus.admin.queues()
    assert (queues.ready.length, queues.ready.first) == (2, "first")
    assert queues.ready.since is not None
    assert abs((bus.now() - queues.ready.since).total_seconds()) < 5


# rights


async def test_an_unrestricted_user_may_do_everything(real_url: str) -> None:
    """On most servers; and nothing is left behind by trying."""
    async with Bus.connect(real_url) as bus:
        assert [await bus.admin.denied(role) for role in Role] == [()] * len(Role)
        assert [record async for record in bus.sessions()] == []
        assert (await bus.admin.queues()).ready.length == 0


async def test_trying_rights_changes_nothing(make_server: MakeServer) -> None:
    """The server holds no key afterwards."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        for role in Role:
            await bus.admin.denied(role)
    assert server.command("DBSIZE") == 0


async def test_a_missing_right_is_named(make_server: MakeServer) -> None:
    """A user who may do all but publish is told on which channels that would be needed."""
    server = make_server(acl=[f"mute on >{PASSWORD} ~* &* +@all -publish"])
    async with Bus.connect(f"unix://mute:{PASSWORD}@{server.socket}") as bus:
        assert await bus.admin.denied(Role.VIEWER) == ()
        assert await bus.admin.denied(Role.PERSON) == ("PUBLISH commands.doctor",)
        assert await bus.admin.denied(Role.WORKER) == (
            "PUBLISH commands.doctor",
            "PUBLISH events.doctor",
            "PUBLISH status.doctor",
            "PUBLISH ready.0",
        )


async def test_scripts_are_named_without_their_text(make_server: MakeServer) -> None:
    """Who may not run scripts reads so."""
    server = make_server(acl=[f"viewer on >{PASSWORD} {acl(Role.VIEWER, Names())}"])
    async with Bus.connect(f"unix://viewer:{PASSWORD}@{server.socket}") as bus:
        assert (await bus.admin.denied(Role.WORKER))[:2] == ("EVAL", "EVALSHA")


@pytest.mark.parametrize("missing", ["multi", "discard"])
async def test_without_transactions_nothing_can_be_tried(make_server: MakeServer, missing: str) -> None:
    """That is an error of its own; nothing was carried out, and the connections are whole afterwards."""
    server = make_server(acl=[f"plain on >{PASSWORD} ~* &* +@all -{missing}"])
    async with Bus.connect(f"unix://plain:{PASSWORD}@{server.socket}") as bus:
        with pytest.raises(PermissionError):
            await bus.admin.denied(Role.WORKER)
        assert (await bus.admin.server()).version is not None
    assert server.command("DBSIZE") == 0
