"""Which processes there are."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tidings.bus import Bus, Presence, Role
from tidings.bus.channels import Names
from tidings.bus.presence import KEEP_S, LIVE_S

WORKER = Presence(role=Role.WORKER, name="w1", host="here", pid=7, sessions=("sea",), concurrency=4, model="openai/x")


async def _age(raw: Redis, names: Names, member: str, seconds: float) -> None:
    """Make it as if a process had last been heard of so long ago."""
    now, _ = await raw.time()
    await raw.zadd(names.seen, {member: (now - seconds) * 1000})


async def test_who_attends_is_on_the_roll(bus: Bus) -> None:
    """What a process says of itself is what others read, with the server's time."""
    await bus.admin.attend(WORKER)
    (one,) = await bus.admin.processes()
    assert one.presence == WORKER
    assert one.live
    assert abs((bus.now() - one.seen_at).total_seconds()) < LIVE_S


async def test_the_last_word_counts(bus: Bus) -> None:
    """A process is on the roll once, however often it speaks; the same name in another role is somebody else."""
    await bus.admin.attend(WORKER)
    await bus.admin.attend(WORKER.model_copy(update={"sessions": (), "draining": True}))
    await bus.admin.attend(Presence(role=Role.CONTROLLER, name="w1"))
    assert [(one.presence.role, one.presence.draining) for one in await bus.admin.processes()] == [
        (Role.CONTROLLER, False),
        (Role.WORKER, True),
    ]


async def test_who_leaves_is_gone_at_once(bus: Bus, raw: Redis, names: Names) -> None:
    """Nothing of a process that ended stays in Redis; leaving twice is no error."""
    await bus.admin.attend(WORKER)
    await bus.admin.leave(WORKER)
    await bus.admin.leave(WORKER)
    assert await bus.admin.processes() == ()
    assert not await raw.exists(names.seen, names.presences)


async def test_a_silent_process_stays_for_a_day(bus: Bus, raw: Redis, names: Names) -> None:
    """It is shown as silent, until the next word of anybody finds it too old."""
    await bus.admin.attend(WORKER)
    await _age(raw, names, WORKER.member, LIVE_S + 1)
    (one,) = await bus.admin.processes()
    assert not one.live
    await _age(raw, names, WORKER.member, KEEP_S + 1)
    await bus.admin.attend(Presence(role=Role.CONTROLLER, name="c1"))
    assert [one.presence.name for one in await bus.admin.processes()] == ["c1"]
    assert await raw.hkeys(names.presences) == [b"controller/c1"]


async def test_what_cannot_be_read_is_left_out(bus: Bus, raw: Redis, names: Names) -> None:
    """A process of a later version, or garbage, does not hide the others."""
    await bus.admin.attend(WORKER)
    for member, said in {"worker/a": b"{", "worker/b": b'{"role":"gardener","name":"b"}', "worker/c": b"\xff"}.items():
        await raw.zadd(names.seen, {member: 1})
        await raw.hset(names.presences, member, said)
    await raw.zadd(names.seen, {"worker/no-word": 1, "worker/far": 1e300})
    await raw.hset(names.presences, "worker/far", WORKER.model_dump_json())
    assert [one.presence for one in await bus.admin.processes()] == [WORKER]


async def test_a_field_of_a_later_version_is_no_harm(bus: Bus, raw: Redis, names: Names) -> None:
    """Older readers stand newer writers."""
    await bus.admin.attend(WORKER)
    await raw.hset(names.presences, WORKER.member, WORKER.model_dump_json()[:-1] + ',"shoe_size":46}')
    assert [one.presence for one in await bus.admin.processes()] == [WORKER]


async def test_installations_do_not_see_each_other(redis_url: str) -> None:
    """The roll has the prefix of its installation."""
    async with Bus.connect(redis_url, prefix="a.") as one, Bus.connect(redis_url, prefix="b.") as other:
        await one.admin.attend(WORKER)
        assert len(await one.admin.processes()) == 1
        assert await other.admin.processes() == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.builds(
        dict[str, Any],
        role=st.sampled_from(Role),
        name=st.text(min_size=1, max_size=128),
        host=st.text(max_size=255),
        pid=st.integers(0, 2**31),
        sessions=st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)).map(tuple),
        concurrency=st.integers(0, 1000),
        model=st.none() | st.text(max_size=200),
        draining=st.booleans(),
    )
)
def test_a_presence_reads_as_it_was_written(fields: dict[str, Any]) -> None:
    """Whatever names machines and models have."""
    presence = Presence(**fields)
    assert Presence.model_validate_json(presence.model_dump_json()) == presence
