from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests import actors
from tests.conftest import MakeServer
from tests.servers import free_port
from tests.waiting import eventually
from tidings.bus import Bus, Ending, SessionStart, State, Trigger
from tidings.bus.channels import Names
from tidings.bus.records import SCHEMA
from tidings.bus.redis import open_connection, scripts
from tidings.workers.controller.decision import Rules, decide

pytestmark = pytest.mark.contract

N = Names()
RECORD, READY, DUE, SESSIONS = N.record("s"), N.ready(), N.due, N.sessions
STATUS, EVENTS, COMMANDS = (N.log(plane, "s") for plane in ("status", "events", "commands"))
CHANNEL, WAKE = N.channel("status", "s"), N.wake
LENGTH, TTL_MS = 3, 60_000
STATE = '{"id":"n","data":{"why":"told"}}'
LEASE = "r1"
"""The random part of a lease."""
FAR = 10**15 + 1
"""A number that Lua's own tostring would write as 1e+15."""


class Scripts:
    """Each script with everything but the arguments of interest filled in."""

    def __init__(self, client: Redis) -> None:
        self.client = client

    async def run(self, name: str, keys: list[str], *args: Any) -> Any:
        return await scripts.run(self.client, name, keys, args)

    async def claim(
        self, *, lease_ms: int = 10_000, epoch: str = "e1", lease: str = LEASE, place: tuple[str, str] = ("default", "")
    ) -> Any:
        state = ("n2", STATE)
        claimed = ("n1", '{"id":"n1","data":{"by":"w"}}')
        rest = (*place, "{}", STATE, "{}")
        keys = [RECORD, READY, DUE, STATUS, SESSIONS]
        return await self.run(
            "claim",
            keys,
            "s",
            '{"name":"w"}',
            lease_ms,
            CHANNEL,
            LENGTH,
            TTL_MS,
            *claimed,
            *state,
            epoch,
            "{}",
            lease,
            *rest,
        )

    async def publish(
        self,
        ident: str = "p",
        *,
        token: str = "",
        lease: str = LEASE,
        epoch: str = "e1",
        picture: str = "",
        nudge: int = 0,
        again: str = "0",
        payload: str = '{"k":1}',
    ) -> Any:
        shown = (token, lease, epoch) if token else ("", "", "")
        args = ("s", CHANNEL, ident, payload, *shown, picture, nudge, LENGTH, TTL_MS, again)
        return await self.run("publish", [RECORD, STATUS, DUE], *args)

    async def append(self, *idents: str, token: int = 1, lease: str = LEASE, epoch: str = "e1", after: int = 0) -> Any:
        pairs = [item for ident in idents for item in (ident, json.dumps({"id": ident}))]
        return await self.run("append", [RECORD, EVENTS], token, lease, epoch, N.channel("events", "s"), after, *pairs)

    async def renew(
        self,
        *,
        token: int = 1,
        lease: str = LEASE,
        epoch: str = "e1",
        picture: str = "{}",
        nudge: int = 0,
        lease_ms: int = 10_000,
    ) -> Any:
        [answer] = await self.run("renew", [DUE, RECORD], "s", token, lease, epoch, lease_ms, picture, nudge)
        return answer

    async def release(
        self,
        to: str = "awaiting_input",
        *,
        token: int = 1,
        lease: str = LEASE,
        epoch: str = "e1",
        read: int = 0,
        resume_at: int | str = "",
        awaits: int = 0,
        notices: tuple[str, ...] = (),
    ) -> Any:
        told = ("n3", STATE, '{"id":"n","data":{"why":"again"}}', awaits, '{"m":1}', 60_000)
        rest = [item for ident in notices for item in (ident, json.dumps({"id": ident}))]
        args = (
            "s",
            token,
            lease,
            epoch,
            to,
            read,
            resume_at,
            1,
            '{"p":1}',
            "rate_limit",
            "over",
            CHANNEL,
            LENGTH,
            TTL_MS,
            WAKE,
            *told,
            "default",
            "",
            *rest,
        )
        return await self.run("release", [RECORD, READY, DUE, STATUS, SESSIONS], *args)

    async def command(self, ident: str = "c1", *, epoch: str = "", life_ms: int = TTL_MS, most: int = 10) -> Any:
        args = ("s", N.channel("commands", "s"), ident, json.dumps({"id": ident}), epoch, life_ms, most)
        return await self.run("command", [RECORD, COMMANDS, DUE, N.outcome("s", ident)], *args)

    async def decide(
        self,
        *,
        version: int = 0,
        handled: int = 0,
        touched: int = 0,
        to: str = "",
        after: int = 0,
        revoke: int = 0,
        ready: int = 0,
        due: int | str = "",
        epoch: str = "e1",
        state: str | None = None,
        lease: str | None = None,
        fields: dict[str, str] | None = None,
        messages: tuple[str, ...] = (),
        notices: tuple[str, ...] = (),
        outcomes: dict[str, int | str] | None = None,
        parent: str = "",
    ) -> Any:
        """Decide; `outcomes` has the expiry of each command that gets one."""
        settled = outcomes or {}
        keys = [RECORD, EVENTS, STATUS, COMMANDS, READY, DUE, SESSIONS, *(N.outcome("s", ident) for ident in settled)]
        channels = (N.channel("events", "s"), CHANNEL, WAKE, N.outcomes("s"))
        told = ("n4", STATE) if to else ("", "")
        basis = [await self.field(name) or "" if given is None else given for name, given in (("state", state), ("lease", lease))]
        groups: list[dict[str, Any]] = [
            fields or {},
            {ident: json.dumps({"id": ident}) for ident in messages},
            {ident: json.dumps({"id": ident}) for ident in notices},
            {json.dumps({"outcome": ident}): expiry for ident, expiry in settled.items()},
        ]
        lists = [item for group in groups for item in (len(group), *(part for pair in group.items() for part in pair))]
        head = (
            "s",
            version,
            handled,
            touched,
            after,
            to,
            revoke,
            ready,
            due,
            *channels,
            LENGTH,
            TTL_MS,
            TTL_MS,
            *told,
            epoch,
            *basis,
        )
        if not parent:
            return await self.run("decide", keys, *head, *lists, 0)
        keys += [N.record(parent), N.log("status", parent), N.children(parent)]
        return await self.run("decide", keys, *head, *lists, 1, "n5", '{"id":"n5"}', N.channel("status", parent), '{"child":"s"}')

    async def field(self, name: str) -> str | None:
        value: Any = await self.client.hget(RECORD, name)
        return None if value is None else str(value, "utf-8")

    async def set(self, **fields: str | int) -> None:
        values: dict[Any, Any] = {**fields}
        await self.client.hset(RECORD, mapping=values)

    async def now_ms(self) -> int:
        seconds, micros = await self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def due_in_ms(self) -> float | None:
        """How far ahead of now the session is due; None when it is not."""
        score = await self.client.zscore(DUE, "s")
        return None if score is None else float(score) - await self.now_ms()

    async def stored(self, key: str) -> list[dict[str, Any]]:
        """What a stream holds, read as JSON, its entry's offset among it as `at`."""
        entries: Any = await self.client.xrange(key)
        return [json.loads(fields[b"m"]) | {"at": int(ident.split(b"-")[0])} for ident, fields in entries]


def _state(before: str | None, to: str, version: int, why: str) -> dict[str, Any]:
    """What a session.state of a session without a parent says."""
    return {"from": before, "to": to, "version": version, "parent": None, "name": None, "why": why}


@pytest.fixture
def lua(raw: Redis) -> Scripts:
    """The scripts, on each transport in turn."""
    return Scripts(raw)


# the files


def test_every_file_is_a_script_and_explains_itself() -> None:
    """NAMES is what the folder holds, and each file says what its KEYS, ARGV and answers are."""
    found = {path.name for path in (files("tidings.bus.redis") / "lua").iterdir()}
    names = [name for name in scripts.NAMES if name != "command_when_full"]
    assert found == {f"{name}.lua" for name in (*names, "prelude")}
    for name in names:
        head = scripts.source(name).split(f"-- {name}.lua:", 1)[1]
        assert re.search(r"^-- KEYS: .*^-- ARGV: .*^-- Returns ", head, re.MULTILINE | re.DOTALL), name


def test_scripts_build_no_keys() -> None:
    """Every key comes in KEYS, as a cluster demands: no call names one of its own."""
    keyless = {"TIME", "PUBLISH"}
    for name in scripts.NAMES:
        for command, first in re.findall(r"redis\.call\('(\w+)'(?:, ([^,)]+))?", scripts.source(name)):
            given = first.startswith("KEYS[") or first in {"record", "log", "ring", "key", "events", "sessions"}
            assert command in keyless or given, (name, command, first)


def test_all_keys_of_a_session_share_one_hash_tag() -> None:
    """They live on one node of a cluster, whatever the prefix."""
    names = Names("team:")
    keys = [names.record("s"), names.ready(), names.due, names.sessions, names.outcome("s", "c1"), names.children("s")]
    keys += [names.log(plane, "s") for plane in ("status", "events", "commands")]
    assert {re.findall(r"\{(.*?)\}", key)[0] for key in keys} == {"0"}


async def test_a_session_lives_on_a_node_of_a_cluster(make_server: MakeServer) -> None:
    """The server itself checks that the keys of each script share a slot."""
    # Nodes talk on a port 10,000 above the other, unless it is named; not every port has one.
    server = make_server(extra=["cluster-enabled yes", f"cluster-port {free_port()}"])
    server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    await eventually(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"))
    async with Bus.connect(server.tcp_url) as bus:
        claim = await actors.hold(bus)
        await claim.append(actors.answer("s"), after=0)
        await actors.renew(claim, actors.limited())
        await actors.publish(bus, actors.retry("s"))
        await bus.controller.due()
        await bus.controller.forget_due("nobody")
        await actors.revoke(bus)
        assert (await bus.status("s")).state is State.PAUSED
        await bus.submit("c", SessionStart(parent="s", name="helper"))
        snapshot = await bus.controller.snapshot("c")
        assert snapshot is not None
        await bus.controller.decide(snapshot, decide(snapshot, Rules()))
        assert [child.child for child in await bus.children("s")] == ["c"]


async def test_a_script_that_the_server_does_not_know_is_sent_in_full(lua: Scripts) -> None:
    """Also after the server has forgotten all scripts."""
    await lua.claim()
    await lua.client.script_flush()
    assert (await lua.renew())[0] == b"ok"
    assert (await lua.renew())[0] == b"ok"


async def test_an_error_of_a_script_comes_out_as_it_is(lua: Scripts) -> None:
    """A wrong type is a mistake of ours: it is not tried again and not dressed up."""
    await lua.client.set(RECORD, "not a hash")
    with pytest.raises(ResponseError):
        await lua.publish()


# storing


async def test_subscribers_get_the_bytes_that_are_stored(bus: Bus, lua: Scripts) -> None:
    """Offset and epoch are written into the JSON, once, and the same bytes are published."""
    heard: list[bytes] = []

    class Ear:
        def on_subscribed(self) -> None:
            heard.clear()

        def receive(self, name: str, payload: bytes) -> None:
            heard.append(payload)

    await lua.claim()
    await bus.on_status("s", Ear())
    await eventually(lambda: bus.connected)
    await lua.publish("p", payload='{"text":"br{ace}s","deep":{"k":[1]}}')
    await eventually(lambda: heard)
    entries: Any = await lua.client.xrange(STATUS)
    assert heard == [entries[-1][1][b"m"]]
    assert json.loads(heard[0]) == {"text": "br{ace}s", "deep": {"k": [1]}, "offset": 3, "epoch": "e1"}
    assert entries[-1][1][b"id"] == b"p"


async def test_large_numbers_are_written_in_full(lua: Scripts) -> None:
    """Offsets, tokens, versions and instants never turn into 1e+15."""
    await lua.claim()
    await lua.set(events=FAR, status=FAR, commands=FAR, version=FAR, token=FAR)
    assert await lua.append("a", token=FAR) == [b"ok", FAR + 1]
    assert (await lua.publish("p", token=str(FAR)))[1] == FAR + 1
    assert await lua.command("c") == [b"ok", FAR + 1]
    assert await lua.release("rate_limited", token=FAR, read=FAR + 1, resume_at=FAR) == [b"ok", b"rate_limited", FAR + 1]
    await lua.set(state="queued", handled=FAR + 1)
    claimed = await lua.claim()
    assert claimed[1:3] == [FAR + 2, FAR + 2]
    assert re.fullmatch(rb"\d{13}", claimed[5])
    found: Any = await lua.client.hgetall(RECORD)
    assert all(re.fullmatch(rb"\d{13}", found[name]) for name in (b"lease_until", b"since"))
    assert (await lua.stored(EVENTS))[0] == {"id": "a", "offset": FAR + 1, "epoch": "e1", "at": FAR + 1}
    assert "e+" not in str(await lua.stored(STATUS))


# publish


async def test_publish_to_nobody_writes_nothing(lua: Scripts) -> None:
    """A session that does not exist, or whose start is undecided, is unknown."""
    assert await lua.publish() == [b"unknown"]
    await lua.command(epoch="e1")
    assert await lua.publish() == [b"unknown"]
    assert await lua.client.exists(STATUS) == 0


async def test_publish_keeps_a_short_ring_that_expires(lua: Scripts) -> None:
    """The newest notices stay behind the channel, the newest of all in the record."""
    await lua.claim()
    assert [(await lua.publish(f"p{index}"))[1] for index in range(5)] == [3, 4, 5, 6, 7]
    assert [entry["at"] for entry in await lua.stored(STATUS)] == [5, 6, 7]
    assert 0 < await lua.client.pttl(STATUS) <= TTL_MS
    assert json.loads(await lua.field("last") or "")["offset"] == 7


async def test_publish_makes_the_session_due_now(lua: Scripts) -> None:
    """A notice may want a decision."""
    await lua.claim()
    assert await lua.due_in_ms() > 5000  # type: ignore[operator]
    await lua.publish()
    assert await lua.due_in_ms() <= 0  # type: ignore[operator]
    assert await lua.field("touched") == "1"


async def test_publish_with_an_old_token_writes_nothing(lua: Scripts) -> None:
    """What a worker that was replaced still has in flight is ignored."""
    await lua.claim()
    before = await lua.stored(STATUS)
    assert await lua.publish(token="0", picture='{"old":1}') == [b"stale"]
    assert await lua.stored(STATUS) == before
    assert await lua.field("picture") == "{}"
    assert (await lua.publish(token="1"))[0] == b"ok"


async def test_publish_believes_a_picture_that_knows_all_nudges(lua: Scripts) -> None:
    """A picture drawn before a nudge shows a wait that the nudge has ended."""
    await lua.claim()
    await lua.set(nudge=1)
    await lua.publish("p1", picture='{"old":1}', nudge=0)
    assert await lua.field("picture") == "{}"
    await lua.publish("p2", picture='{"new":1}', nudge=1)
    assert await lua.field("picture") == '{"new":1}'


async def test_publish_again_finds_what_is_there(lua: Scripts) -> None:
    """With the flag the id is looked for in the ring, and nothing else happens a second time."""
    await lua.claim()
    first = await lua.publish("p")
    touched = await lua.field("touched")
    assert await lua.publish("p", again="1") == first
    assert await lua.publish("other", again="1") == [b"ok", first[1] + 1, b"e1"]
    assert touched == "1"
    assert [entry["at"] for entry in await lua.stored(STATUS)] == [2, 3, 4]


# append


async def test_append_stores_a_step_in_order(lua: Scripts) -> None:
    """The answer is the first offset; the others follow it."""
    await lua.claim()
    assert await lua.append("a", "b") == [b"ok", 1]
    assert await lua.append("c", after=2) == [b"ok", 3]
    assert [entry["id"] for entry in await lua.stored(EVENTS)] == ["a", "b", "c"]


async def test_append_twice_stores_once(lua: Scripts) -> None:
    """The answer is the same, also with something else said in between."""
    await lua.claim()
    await lua.append("a", "b")
    await lua.decide(version=1, messages=("said",))
    assert await lua.append("a", "b") == [b"ok", 1]
    assert await lua.append("a", "b", after=0) == [b"ok", 1]
    assert [entry["id"] for entry in await lua.stored(EVENTS)] == ["a", "b", "said"]


@pytest.mark.parametrize("wrong", [{"token": 0}, {"token": 2}, {"lease": "r2"}, {"epoch": "other"}])
async def test_append_by_a_stranger_writes_nothing(lua: Scripts, wrong: dict[str, Any]) -> None:
    """Token, random part and epoch must be those of the claim."""
    await lua.claim()
    assert await lua.append("a", **wrong) == [b"stale"]
    assert await lua.stored(EVENTS) == []


@pytest.mark.parametrize("schema", ["abc", "0", "03", "-1", "3.0", ""])
async def test_a_record_whose_schema_is_none_is_not_written_to(lua: Scripts, schema: str) -> None:
    """Readers say that it cannot be read; the scripts must not add to it either."""
    await lua.claim()
    await lua.set(schema=schema)
    before = await lua.client.hgetall(RECORD)
    assert await lua.publish(token="1") == [b"unreadable"]
    assert await lua.append("a") == [b"unreadable"]
    assert await lua.release() == [b"unreadable"]
    assert await lua.client.hgetall(RECORD) == before


async def test_append_to_nothing_is_stale(lua: Scripts) -> None:
    """The data was lost: there is no such claim any more."""
    assert await lua.append("a") == [b"stale"]


# claim


async def test_claim_takes_a_queued_session(lua: Scripts) -> None:
    """It leaves ready, gets the next token and version, a lease, and is due when that ends."""
    await lua.claim()
    await lua.release("queued")
    before = await lua.now_ms()
    assert await lua.client.zrange(READY, 0, -1) == [b"s"]
    ok, token, version, epoch, parks, lease_until, *kin = await lua.claim(lease_ms=5000, epoch="")
    assert (ok, token, version, epoch, parks) == (b"ok", 3, 3, b"e1", 1)
    assert kin == [b"", b"", b"{}", 60_000, b"{}"]
    assert before + 5000 <= int(lease_until) <= await lua.now_ms() + 5000
    assert await lua.client.zscore(DUE, "s") == int(lease_until)
    assert await lua.client.zrange(READY, 0, -1) == []
    assert await lua.client.hget(SESSIONS, "s") == b"running"
    assert [await lua.field(name) for name in ("state", "pending", "nudge", "picture")] == ["running", "1", "0", "{}"]


async def test_claim_tells_who_and_what(lua: Scripts) -> None:
    """worker.claimed with the token, then session.state with the state before and the version."""
    await lua.claim()
    claimed, state = await lua.stored(STATUS)
    assert claimed["data"] == {"by": "w", "token": 1}
    assert state["data"] == _state(None, "running", 1, "told")
    await lua.release("queued")
    await lua.claim()
    assert (await lua.stored(STATUS))[-1]["data"] == _state("queued", "running", 3, "told")


async def test_claim_of_what_is_not_queued_is_refused(lua: Scripts) -> None:
    """The answer is the state, and a stray entry leaves ready."""
    await lua.client.zadd(READY, {"s": 1})
    assert await lua.claim(epoch="") == [b"no", b""]
    assert await lua.client.zcard(READY) == 0
    await lua.claim()
    await lua.client.zadd(READY, {"s": 1})
    assert await lua.claim() == [b"no", b"running"]
    assert await lua.client.zcard(READY) == 0
    assert await lua.field("token") == "1"


async def test_claim_makes_a_session_that_then_stays(lua: Scripts) -> None:
    """Also where a start waits that nobody decided; its epoch is kept."""
    await lua.command(epoch="e0")
    assert await lua.client.pttl(RECORD) > 0
    assert (await lua.claim(epoch="e1"))[3] == b"e0"
    assert await lua.client.pttl(RECORD) == -1


async def test_claim_with_commands_waiting_is_due_at_once(lua: Scripts) -> None:
    """They must not wait for the end of the lease."""
    await lua.command(epoch="e1")
    await lua.claim()
    assert await lua.due_in_ms() <= 0  # type: ignore[operator]


# renew


async def test_renew_extends_the_lease(lua: Scripts) -> None:
    """Any number of times; the due time follows when the lease is looked at."""
    await lua.claim(lease_ms=1000)
    for _ in range(2):
        assert await lua.renew(lease_ms=60_000) == [b"ok", 0]
    assert int(await lua.field("lease_until") or 0) > await lua.now_ms() + 50_000
    assert await lua.field("touched") is None


async def test_renew_with_a_new_picture_wants_a_decision(lua: Scripts) -> None:
    """The same picture again does not."""
    await lua.claim()
    await lua.renew(picture='{"k":1}')
    assert await lua.field("picture") == '{"k":1}'
    assert await lua.field("touched") == "1"
    assert await lua.due_in_ms() <= 0  # type: ignore[operator]
    await lua.renew(picture='{"k":1}')
    assert await lua.field("touched") == "1"


async def test_renew_tells_of_nudges_and_ignores_older_pictures(lua: Scripts) -> None:
    """The lease is kept all the same."""
    await lua.claim(lease_ms=1000)
    await lua.set(nudge=2)
    assert await lua.renew(picture='{"k":1}', nudge=1, lease_ms=60_000) == [b"ok", 2]
    assert await lua.field("picture") == "{}"
    assert int(await lua.field("lease_until") or 0) > await lua.now_ms() + 50_000


async def test_renew_of_what_was_taken_says_what_it_is_now(lua: Scripts) -> None:
    """The state, or nothing where the session is gone."""
    await lua.claim()
    await lua.decide(version=1, to="paused", revoke=1)
    assert await lua.renew() == [b"stale", b"paused"]
    await lua.client.delete(RECORD)
    assert await lua.renew() == [b"stale", b""]


# release


async def test_release_frees_the_session(lua: Scripts) -> None:
    """No worker, no lease, no waits, nobody who asked, nothing due; the token is raised; ready only where it is queued."""
    await lua.claim()
    await lua.set(by="ann")
    assert await lua.release(notices=("n0",)) == [b"ok", b"awaiting_input", 2]
    assert [await lua.field(name) for name in ("worker", "lease_until", "picture", "pending")] == ["", "", '{"p":1}', "0"]
    assert await lua.field("by") == ""
    assert [await lua.field(name) for name in ("token", "parks", "reason", "why")] == ["2", "1", "rate_limit", "over"]
    assert await lua.client.zscore(DUE, "s") is None
    assert await lua.client.zcard(READY) == 0
    assert await lua.client.hget(SESSIONS, "s") == b"awaiting_input"
    assert [entry["id"] for entry in await lua.stored(STATUS)] == ["n", "n0", "n"]
    assert (await lua.stored(STATUS))[-1]["data"] == _state("running", "awaiting_input", 2, "told")


async def test_release_twice_is_one(lua: Scripts) -> None:
    """The second answer is the first one; another lease's is stale."""
    await lua.claim()
    first = await lua.release()
    told = await lua.stored(STATUS)
    assert await lua.release() == first
    assert await lua.stored(STATUS) == told
    assert await lua.release(token=0, lease="r2") == [b"stale"]


async def test_a_token_given_a_second_time_is_not_the_first_ones(lua: Scripts) -> None:
    """The server has lost the end of the first lease: the next worker gets the same number, and the first one writes nothing."""
    await lua.claim(lease="first")
    await lua.set(token=0, version=0, state="queued")
    assert (await lua.claim(lease="second"))[1] == 1
    before = await lua.client.hgetall(RECORD), await lua.stored(STATUS)
    assert await lua.renew(lease="first") == [b"stale", b"running"]
    assert await lua.append("a", lease="first") == [b"stale"]
    assert await lua.publish(token="1", lease="first") == [b"stale"]
    assert await lua.release(lease="first") == [b"stale"]
    assert await lua.decide(version=1, to="paused", revoke=1, lease="first") == [b"stale"]
    assert before == (await lua.client.hgetall(RECORD), await lua.stored(STATUS))
    assert await lua.append("b", lease="second") == [b"ok", 1]


async def test_a_lease_of_lost_data_is_worth_nothing(lua: Scripts) -> None:
    """A session of the same name, made after everything was lost, is another one; its state is not said of the first."""
    await lua.claim(epoch="e1")
    await lua.client.flushall()
    await lua.claim(epoch="e2")
    before = await lua.client.hgetall(RECORD), await lua.stored(STATUS)
    assert await lua.renew(epoch="e1") == [b"stale", b""]
    assert await lua.append("a", epoch="e1") == [b"stale"]
    assert await lua.publish(token="1", epoch="e1") == [b"stale"]
    assert await lua.release(epoch="e1") == [b"stale"]
    assert before == (await lua.client.hgetall(RECORD), await lua.stored(STATUS))


async def test_a_version_given_a_second_time_is_not_what_a_decision_rests_on(lua: Scripts) -> None:
    """The server has lost a transition, and another one has taken its number."""
    await lua.claim()
    await lua.decide(version=1, to="paused", revoke=1)
    assert await lua.decide(version=2, state="stopped", to="queued") == [b"stale"]
    assert await lua.decide(version=2, state="paused", to="queued") == [b"ok", 3]


async def test_release_after_a_revoke_is_stale(lua: Scripts) -> None:
    """What was decided about the session stands."""
    await lua.claim()
    await lua.decide(version=1, to="paused", revoke=1)
    assert await lua.release() == [b"stale"]
    assert await lua.field("state") == "paused"


@pytest.mark.parametrize("to", ["awaiting_input", "finished", "error"])
async def test_release_with_words_unread_queues_the_session(lua: Scripts, to: str) -> None:
    """Nothing that is said while a run closes is lost; what was read already does not count."""
    await lua.claim()
    await lua.decide(version=1, messages=("said",))
    assert await lua.release(to, read=0) == [b"ok", b"queued", 2]
    assert [await lua.field(name) for name in ("pending", "reason")] == ["1", ""]
    assert (await lua.stored(STATUS))[-1]["data"] == _state("running", "queued", 2, "again")
    assert await lua.client.zrange(READY, 0, -1) == [b"s"]
    await lua.claim()
    assert await lua.release(to, token=3, read=1) == [b"ok", to.encode(), 4]


async def test_release_to_a_park_is_due_at_its_time(lua: Scripts) -> None:
    """With the picture of what it waits for; without a time nothing is due. Words unread do not end a park."""
    await lua.claim()
    await lua.decide(version=1, messages=("said",))
    assert (await lua.release("rate_limited", resume_at=FAR))[1] == b"rate_limited"
    assert await lua.client.zscore(DUE, "s") == FAR
    assert [await lua.field(name) for name in ("resume_at", "picture", "pending")] == [str(FAR), '{"p":1}', "1"]
    await lua.set(state="queued")
    await lua.claim()
    await lua.release("rate_limited", token=3)
    assert await lua.client.zscore(DUE, "s") is None


async def test_release_with_commands_waiting_is_due_at_once(lua: Scripts) -> None:
    """A pause that was asked for in the closing moment is decided now, also over a park's time."""
    await lua.claim()
    await lua.command()
    await lua.release("rate_limited", resume_at=FAR)
    assert await lua.due_in_ms() <= 0  # type: ignore[operator]


# command


async def test_a_command_to_nobody_is_unknown(lua: Scripts) -> None:
    """Only a start, which brings an epoch, makes a record."""
    assert await lua.command() == [b"unknown"]
    assert await lua.client.exists(RECORD, COMMANDS) == 0
    assert await lua.command("c0", epoch="e1") == [b"ok", 1]
    assert await lua.command("c1") == [b"ok", 2]
    assert await lua.due_in_ms() <= 0  # type: ignore[operator]
    assert await lua.field("touched") == "2"


async def test_what_nobody_decides_expires_together(lua: Scripts) -> None:
    """A log that outlived its record would refuse the offsets of the next one."""
    await lua.command("c0", epoch="e1", life_ms=10_000)
    await lua.command("c1", epoch="e2", life_ms=50_000)
    lives = await lua.client.pttl(RECORD), await lua.client.pttl(COMMANDS)
    assert all(10_000 < life <= 50_000 for life in lives)
    assert abs(lives[0] - lives[1]) < 1000
    assert await lua.field("epoch") == "e1"


async def test_commands_of_a_session_do_not_expire(lua: Scripts) -> None:
    """Once a session exists its commands wait as long as it takes."""
    await lua.claim()
    await lua.command()
    assert (await lua.client.pttl(RECORD), await lua.client.pttl(COMMANDS)) == (-1, -1)


async def test_a_command_sent_twice_is_stored_once(lua: Scripts) -> None:
    """By the same asker or another, while it waits; afterwards its outcome is the answer."""
    await lua.command("c0", epoch="e1")
    first = await lua.command("c1")
    assert await lua.command("c1") == first
    assert await lua.client.xlen(COMMANDS) == 2
    await lua.decide(after=2, outcomes={"c0": "", "c1": ""})
    assert await lua.command("c1") == [b"done", b'{"outcome": "c1"}']
    assert await lua.client.xlen(COMMANDS) == 0


async def test_too_many_commands_are_refused(lua: Scripts) -> None:
    """Queues are bounded; one that waits already is still found."""
    await lua.claim()
    for ident in ("c1", "c2"):
        await lua.command(ident, most=2)
    assert await lua.command("c3", most=2) == [b"full"]
    assert await lua.command("c2", most=2) == [b"ok", 2]
    assert await lua.field("commands") == "2"


# decide


async def test_decide_writes_all_of_it(lua: Scripts) -> None:
    """State, fields, user messages, notices, outcomes, ready and due, in one step."""
    await lua.command("c0", epoch="e1")
    answer = await lua.decide(
        touched=1,
        to="queued",
        after=1,
        ready=1,
        due=FAR,
        fields={"why": "asked"},
        messages=("m",),
        notices=("n",),
        outcomes={"c0": ""},
    )
    assert answer == [b"ok", 1]
    assert [await lua.field(name) for name in ("state", "version", "handled", "why", "said")] == [
        "queued",
        "1",
        "1",
        "asked",
        "1",
    ]
    assert re.fullmatch(r"\d{13}", await lua.field("since") or "")
    assert [entry["id"] for entry in await lua.stored(EVENTS)] == ["m"]
    assert [entry["at"] for entry in await lua.stored(STATUS)] == [1, 2]
    assert (await lua.stored(STATUS))[1]["data"] == _state(None, "queued", 1, "told")
    assert await lua.client.get(N.outcome("s", "c0")) == b'{"outcome": "c0"}'
    assert 0 < await lua.client.pttl(N.outcome("s", "c0")) <= TTL_MS
    assert await lua.client.exists(COMMANDS) == 0
    assert await lua.client.pttl(RECORD) == -1
    assert await lua.client.zrange(READY, 0, -1) == [b"s"]
    assert await lua.client.zscore(DUE, "s") == FAR
    assert await lua.client.hget(SESSIONS, "s") == b"queued"


@pytest.mark.parametrize("wrong", [{"version": 7}, {"handled": 1}, {"epoch": "other"}])
async def test_decide_on_something_else_writes_nothing(lua: Scripts, wrong: dict[str, Any]) -> None:
    """The record is not what the decision rests on."""
    await lua.claim()
    await lua.command("c1")
    before: Any = await lua.client.hgetall(RECORD)
    decision: dict[str, Any] = {
        "version": 1,
        "touched": 1,
        "to": "paused",
        "after": 1,
        "messages": ("m",),
        "outcomes": {"c1": ""},
    }
    assert await lua.decide(**decision | wrong) == [b"stale"]
    assert await lua.client.hgetall(RECORD) == before
    assert await lua.client.exists(EVENTS, N.outcome("s", "c1")) == 0


async def test_decide_about_nothing_is_stale(lua: Scripts) -> None:
    """The data was lost."""
    assert await lua.decide() == [b"stale"]


async def test_decide_twice_is_stale(lua: Scripts) -> None:
    """A command that was handled, or a state that was left, is not decided again."""
    await lua.claim()
    await lua.command("c1")
    decision: dict[str, Any] = {"version": 1, "touched": 1, "after": 1, "messages": ("m",), "outcomes": {"c1": ""}}
    assert await lua.decide(**decision) == [b"ok", 1]
    assert await lua.decide(**decision) == [b"stale"]
    assert len(await lua.stored(EVENTS)) == 1


async def test_decide_on_a_command_that_is_settled_or_over_writes_nothing(lua: Scripts) -> None:
    """Its asker has withdrawn it, or its time is over by the server's clock."""
    await lua.claim()
    await lua.command("c1")
    assert await lua.decide(version=1, after=1, outcomes={"c1": await lua.now_ms() - 1}) == [b"stale"]
    await lua.run("withdraw", [N.outcome("s", "c1")], "expired", TTL_MS)
    assert await lua.decide(version=1, after=1, outcomes={"c1": ""}) == [b"stale"]
    assert await lua.decide(version=1, after=1) == [b"ok", 1]
    assert await lua.client.get(N.outcome("s", "c1")) == b"expired"


async def test_decide_that_stays_keeps_version_and_since(lua: Scripts) -> None:
    """Without a new state nothing is told; with the same state the version grows and `since` stays."""
    await lua.claim()
    await lua.set(since=1)
    told = await lua.stored(STATUS)
    assert await lua.decide(version=1, fields={"k": "v"}) == [b"ok", 1]
    assert await lua.stored(STATUS) == told
    assert await lua.decide(version=1, to="running") == [b"ok", 2]
    assert await lua.field("since") == "1"


async def test_decide_revokes_by_raising_the_token(lua: Scripts) -> None:
    """The worker's token is an old one from then on."""
    await lua.claim()
    await lua.decide(version=1, to="queued", revoke=1, ready=1)
    assert await lua.append("a") == [b"stale"]
    assert await lua.field("token") == "2"


async def test_decide_takes_what_is_not_queued_out_of_ready(lua: Scripts) -> None:
    """A pause of a queued session; while it stays queued it keeps its place."""
    await lua.claim()
    await lua.release("queued")
    place = await lua.client.zscore(READY, "s")
    assert place is not None
    await lua.client.zadd(READY, {"s": place - 1000})
    await lua.decide(version=2, to="queued", ready=1)
    assert await lua.client.zscore(READY, "s") == place - 1000
    await lua.decide(version=3)
    assert await lua.client.zcard(READY) == 1
    await lua.decide(version=3, to="paused")
    assert await lua.client.zcard(READY) == 0


async def test_decide_looks_again_at_once_when_something_came(lua: Scripts) -> None:
    """Whatever touched the session after it was read wants a decision of its own."""
    await lua.claim()
    await lua.publish()
    await lua.decide(version=1, touched=0, due=FAR)
    assert await lua.due_in_ms() <= 0  # type: ignore[operator]
    await lua.decide(version=1, touched=1, due=FAR)
    assert await lua.client.zscore(DUE, "s") == FAR
    await lua.decide(version=1, touched=1)
    assert await lua.client.zscore(DUE, "s") is None


async def test_decide_keeps_the_commands_that_came_later(lua: Scripts) -> None:
    """Only what is handled leaves the log."""
    await lua.claim()
    await lua.command("c1")
    await lua.command("c2")
    await lua.decide(version=1, touched=2, after=1, outcomes={"c1": ""})
    assert [entry["id"] for entry in await lua.stored(COMMANDS)] == ["c2"]


# due and outcomes


async def test_take_due_hides_what_it_takes(lua: Scripts) -> None:
    """The longest due first, as many as asked for; a session that is due later stays."""
    now = await lua.now_ms()
    await lua.client.zadd(DUE, {"late": now + 60_000, "b": now - 20, "a": now - 30, "c": now - 10})
    time, strange, *taken = await lua.run("dequeue_due", [DUE], 5000, 2)
    assert (strange, taken) == (0, [b"a", b"b"])
    assert now <= int(time) <= await lua.now_ms()
    assert (await lua.run("dequeue_due", [DUE], 5000, 10))[2:] == [b"c"]
    assert (await lua.run("dequeue_due", [DUE], 5000, 10))[2:] == []
    assert now + 5000 <= (await lua.client.zscore(DUE, "a") or 0) <= await lua.now_ms() + 5000


async def test_take_due_takes_out_what_is_no_session(lua: Scripts) -> None:
    """What no session can be called would come up for ever."""
    await lua.client.zadd(DUE, {b"a": 1, b"": 2, b"a b": 3, b"x" * 65: 4, b"\xff": 5, b"-a": 6, b"z_-": 7})
    assert (await lua.run("dequeue_due", [DUE], 5000, 10))[1:] == [5, b"a", b"z_-"]
    assert await lua.client.zrange(DUE, 0, -1) == [b"a", b"z_-"]


async def test_forget_due_leaves_what_exists(lua: Scripts) -> None:
    """A session that was started in between stays due."""
    await lua.client.zadd(DUE, {"s": 1})
    await lua.command(epoch="e1")
    assert await lua.run("forget_due", [RECORD, DUE], "s") == 0
    assert await lua.client.zscore(DUE, "s") is not None
    await lua.client.delete(RECORD)
    assert [await lua.run("forget_due", [RECORD, DUE], "s") for _ in range(2)] == [1, 0]
    assert await lua.client.zscore(DUE, "s") is None


async def test_withdraw_leaves_the_first_outcome(lua: Scripts) -> None:
    """Whoever writes first decides; the answer is what stands."""
    key = N.outcome("s", "c1")
    assert await lua.run("withdraw", [key], "first", TTL_MS) == b"first"
    assert await lua.run("withdraw", [key], "second", TTL_MS) == b"first"
    assert 0 < await lua.client.pttl(key) <= TTL_MS


async def test_two_prefixes_share_no_key(redis_url: str) -> None:
    """Each key of a session begins with the prefix of its installation."""
    async with Bus.connect(redis_url, prefix="a:") as bus, open_connection(redis_url) as connection:
        claim = await actors.hold(bus)
        await claim.append(actors.answer("s"), after=0)
        await claim.release(Ending(Trigger.HAND_BACK, read=1))
        keys: list[Any] = await connection.commands.keys("*")
        assert keys
        assert all(key.startswith(b"a:{0}:") for key in keys)


async def test_restore_writes_over_nothing(raw: Redis) -> None:
    """Not even over a record without a state; what it has written itself it knows again."""
    keys = [RECORD, EVENTS, STATUS, SESSIONS]
    events = ["1", "a", '{"id":"a"}', "3", "b", '{"id":"b"}']

    async def restore(epoch: str) -> Any:
        fields = ["2", "why", "told", "said", "0"]
        args: list[Any] = [
            "s",
            epoch,
            "paused",
            N.channel("events", "s"),
            CHANNEL,
            LENGTH,
            TTL_MS,
            "n",
            STATE,
            3,
            *fields,
            *events,
        ]
        return await scripts.run(raw, "restore", keys, args)

    assert await restore("e7") == [b"ok", 1]
    stored: Any = await raw.xrange(EVENTS)
    assert [entry[0] for entry in stored] == [b"1-0", b"3-0"]
    assert stored[1][1][b"m"] == b'{"id":"b","offset":3,"epoch":"e7"}'
    before = await raw.hgetall(RECORD)
    assert (before[b"events"], before[b"state"], before[b"schema"]) == (b"3", b"paused", b"5")
    assert await restore("e7") == [b"ok", 1]
    assert await restore("e8") == [b"exists", b"paused"]
    assert await raw.hgetall(RECORD) == before
    await raw.hdel(RECORD, "state", "epoch")
    assert await restore("e8") == [b"exists", b""]


@pytest.mark.parametrize("due", [True, False])
async def test_quarantine_moves_only_what_is_due_and_refuses_what_waits(raw: Redis, due: bool) -> None:
    """A command that has its outcome keeps it; a command beyond those that were read stays."""
    await raw.hset(RECORD, mapping={"touched": 4, "commands": 3, "handled": 0})
    if due:
        await raw.zadd(DUE, {"s": 1})
    for number in (1, 2, 3):
        await raw.xadd(COMMANDS, {"id": f"c{number}", "m": "{}"}, id=f"{number}-0")
    await raw.set(N.outcome("s", "c1"), "withdrawn")
    keys = [RECORD, DUE, COMMANDS, N.outcome("s", "c1"), N.outcome("s", "c2")]
    args: list[str | int] = ["s", 60_000, 900_000, 4, N.outcomes("s"), 1000, 2, "refused 1", "refused 2"]
    assert await scripts.run(raw, "quarantine", keys, args) == [1, 60_000]
    seconds, _ = await raw.time()
    score = await raw.zscore(DUE, "s")
    assert (score is not None and score > seconds * 1000 + 30_000) is due
    assert [await raw.get(key) for key in keys[3:]] == [b"withdrawn", b"refused 2"]
    assert [entry[0] for entry in await raw.xrange(COMMANDS) or ()] == [b"3-0"]
    assert await raw.hmget(RECORD, "failures", "handled") == [b"1", b"2"]
    again = [await scripts.run(raw, "quarantine", keys[:3], [*args[:6], 0]) for _ in range(5)]
    assert again == [[2, 120_000], [3, 240_000], [4, 480_000], [5, 900_000], [6, 900_000]]


async def test_quarantine_touches_nothing_that_is_not_known(raw: Redis) -> None:
    """What was asked meanwhile brings it up at once; another schema is left alone; text under its name waits longest."""
    args: list[str | int] = ["s", 60_000, 900_000, 4, N.outcomes("s"), 1000, 0]
    await raw.zadd(DUE, {"s": 1})
    await raw.hset(RECORD, mapping={"touched": 5})
    assert await scripts.run(raw, "quarantine", [RECORD, DUE, COMMANDS], args) == [0, 0]
    await raw.hset(RECORD, mapping={"touched": 4, "schema": SCHEMA + 1})
    before = await raw.hgetall(RECORD)
    assert await scripts.run(raw, "quarantine", [RECORD, DUE, COMMANDS], args) == [0, 1000]
    assert await raw.hgetall(RECORD) == before
    await raw.set(RECORD, "text")
    assert await scripts.run(raw, "quarantine", [RECORD, DUE, COMMANDS], args) == [1, 900_000]


# children


async def _child(lua: Scripts, state: str | None = "running") -> Any:
    """Start `s` as a child of `p`, which is in a state, or not there."""
    if state:
        await lua.client.hset(N.record("p"), mapping={"epoch": "e0", "state": state, "schema": SCHEMA})
    await lua.command("c0", epoch="e1")
    fields = {"parent": "p", "name": "helper"}
    return await lua.decide(touched=1, to="queued", after=1, ready=1, fields=fields, outcomes={"c0": ""}, parent="p")


async def test_a_child_is_shown_on_the_channel_of_its_parent(lua: Scripts) -> None:
    """In the step that writes its state: a notice there, and what is known of it beside the parent."""
    assert await _child(lua) == [b"ok", 1]
    assert [entry["id"] for entry in await lua.stored(N.log("status", "p"))] == ["n5"]
    assert await lua.client.hgetall(N.children("p")) == {b"s": b'{"child":"s"}'}
    assert await lua.client.hget(N.record("p"), "children") == b"1"
    await lua.decide(version=1, handled=1, touched=1, after=1, parent="p")
    assert len(await lua.stored(N.log("status", "p"))) == 2
    assert await lua.client.hget(N.record("p"), "children") == b"1"


async def test_every_state_of_a_child_names_its_parent(lua: Scripts) -> None:
    """Who reads along with all sessions knows whose child it is; the claim tells it to the worker."""
    await _child(lua)
    assert (await lua.claim(epoch=""))[6:8] == [b"p", b"helper"]
    await lua.release()
    told = [entry["data"] for entry in await lua.stored(STATUS) if "to" in entry["data"]]
    assert [(data["to"], data["parent"], data["name"]) for data in told][-2:] == [
        ("running", "p", "helper"),
        ("awaiting_input", "p", "helper"),
    ]


@pytest.mark.parametrize("state", ["stopped", "finished", "deleted", None])
async def test_a_child_is_not_born_under_what_is_over(lua: Scripts, state: str | None) -> None:
    """However late the parent ended: nothing is written, and nothing of the parent is made."""
    assert await _child(lua, state) == [b"stale"]
    assert await lua.field("state") is None
    assert await lua.client.exists(N.children("p"), N.log("status", "p")) == 0
    assert await lua.client.exists(N.record("p")) == (1 if state else 0)


async def test_claim_and_release_of_a_child_make_it_due_at_once(lua: Scripts) -> None:
    """A controller has to tell its parent."""
    await _child(lua)
    await lua.claim(epoch="")
    assert (await lua.due_in_ms() or 0) <= 0
    await lua.client.delete(DUE)
    await lua.release(resume_at=FAR, to="rate_limited")
    assert (await lua.due_in_ms() or 0) <= 0


async def test_the_end_of_a_parent_makes_it_due_at_once(lua: Scripts) -> None:
    """Its children are to be stopped; a session without any needs nobody."""
    await lua.claim()
    await lua.release("finished", awaits=2)
    assert await lua.due_in_ms() is None
    assert await lua.field("awaits") == "2"
    await lua.set(state="queued", children=1)
    await lua.claim(epoch="")
    await lua.release("finished", token=3)
    assert (await lua.due_in_ms() or 0) <= 0


async def test_claim_keeps_the_calls_that_are_not_over(lua: Scripts) -> None:
    """The next worker counts on from there; a picture without calls is the new worker's own."""
    await lua.claim()
    await lua.release("queued")
    kept = '{"model":"x","waits":{"agent":{"reason":"rate_limit","attempt":1}}}'
    await lua.client.hset(RECORD, "picture", kept)
    assert (await lua.claim(epoch=""))[-3] == kept.encode()
    assert await lua.field("picture") == kept
