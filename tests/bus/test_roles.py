"""Who may do what: each role can do its work with the rights of docs/operations.md, and not the others'. On real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

import pytest
from redis.exceptions import NoPermissionError

from tests.servers import RunningServer, ServerOptions, redis_binary, valkey_binary
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    AccessDenied,
    Bus,
    ChildStart,
    Ending,
    Event,
    Message,
    Notice,
    Presence,
    Role,
    SessionDelete,
    SessionPause,
    SessionSay,
    SessionStart,
    SessionStop,
    State,
    Trigger,
    UserMessage,
    WorkerRef,
    carries,
    read_archives,
)
from tidings.bus.channels import Names
from tidings.bus.roles import acl, grants, trials
from tidings.workers.agent import ChatAgent, Step
from tidings.workers.context import Context
from tidings.workers.controller import Controller
from tidings.workers.provider import Provider
from tidings.workers.settings import Settings
from tidings.workers.worker import Worker

PASSWORD = "correct-horse"
_FOREIGN = (("SET", "x", "1"), ("DEL", "x"), ("PUBLISH", "status.x", "{}"), ("FLUSHALL",), ("CONFIG", "GET", "requirepass"))
Open = Callable[[Role], AbstractAsyncContextManager[Bus]]


@pytest.fixture(params=["", "acme."])
def prefix(request: pytest.FixtureRequest) -> str:
    """Without a prefix and with one."""
    return str(request.param)


@pytest.fixture(params=["valkey", "redis"])
async def open_as(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Open]:
    """A way to connect as a user with the rights of one role, to a server on which nobody else may do anything."""
    binary = valkey_binary() if request.param == "valkey" else redis_binary() or valkey_binary()
    users = [f"{role} on >{PASSWORD} {acl(role, Names(prefix))}" for role in Role]
    server = RunningServer(binary, ServerOptions(acl=users))
    server.start()
    try:

        @asynccontextmanager
        async def connect(role: Role) -> AsyncIterator[Bus]:
            async with Bus.connect(f"unix://{role}:{PASSWORD}@{server.socket}", prefix=prefix, heartbeat_s=0.2) as bus:
                yield bus

        yield connect
    finally:
        server.close()


async def test_each_role_may_do_what_it_needs_and_no_other_role_may(open_as: Open) -> None:
    """The table, tried on a server; a person may do all that a viewer may, and a gateway all that a person may."""
    others = {Role.PERSON: {Role.VIEWER}, Role.GATEWAY: {Role.PERSON, Role.VIEWER}}
    for role in Role:
        async with open_as(role) as bus:
            able = {other for other in Role if not await bus.admin.denied(other)}
            assert able == {role} | others.get(role, set())


async def test_a_fleet_works_with_the_least_rights(open_as: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person starts a session, a controller queues it, a worker answers through real scripts, a viewer sees it all."""
    monkeypatch.setenv("OPENAI_API_KEY", "anything")
    async with (
        Provider() as provider,
        open_as(Role.WORKER) as w,
        open_as(Role.CONTROLLER) as c,
        open_as(Role.PERSON) as person,
        open_as(Role.VIEWER) as viewer,
    ):
        settings = Settings(model="openai/x", api_base=provider.base_url, poll_s=0.05, controller_poll_s=0.05)
        controller, worker = Controller(c, settings, name="c1"), Worker(w, ChatAgent, settings, name="w1")
        async with _running(controller.run, controller.stop), _running(worker.run, worker.drain):
            async with viewer.follow("demo") as seen, viewer.follow():
                await person.send("demo", SessionStart(by="ann", text="hello"), 20)
                assert carries(await anext(seen), Notice)
                await eventually(lambda: _is(viewer, "demo", State.AWAITING_INPUT), message="the session is answered")
            assert [event.type for event in await viewer.history("demo")] == ["user.message", "agent.message"]
            await person.send("demo", SessionSay(by="ann", text="more"), 20)
            await eventually(lambda: _is(viewer, "demo", State.AWAITING_INPUT, events=4), message="it is answered again")
            await person.send("demo", SessionPause(by="ann"), 20, key="lunch")
            assert (await viewer.status("demo")).state is State.PAUSED
            roll = await viewer.admin.processes()
            assert [one.presence.name for one in roll] == ["c1", "w1"]
            assert [record.session async for record in viewer.sessions()] == ["demo"]
            assert (await person.admin.queues()).ready.length == 0
            [archive] = read_archives([line async for line in viewer.admin.export("demo")])
            for other in (w, person, viewer):
                with pytest.raises(AccessDenied):
                    await other.admin.restore(archive, "copy")
            assert (await c.admin.restore(archive, "copy")).events == 4
            await person.send("demo", SessionDelete(by="ann"), 20)
            assert (await viewer.status("demo")).state is State.DELETED


async def test_a_family_works_with_the_least_rights(open_as: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker asks for a child, controllers report it and stop it with its parent; a viewer sees it under its parent."""
    monkeypatch.setenv("OPENAI_API_KEY", "anything")
    async with Provider() as provider, open_as(Role.WORKER) as w, open_as(Role.CONTROLLER) as c, open_as(Role.PERSON) as person:
        settings = Settings(model="openai/x", api_base=provider.base_url, poll_s=0.05, controller_poll_s=0.05)
        controller, worker = Controller(c, settings, name="c1"), Worker(w, _Parent, settings, name="w1")
        async with _running(controller.run, controller.stop), _running(worker.run, worker.drain):
            await person.send("demo", SessionStart(by="ann", text="hello"), 20)
            await eventually(lambda: _is(person, "demo", State.AWAITING_INPUT, events=3), message="the child has reported")
            async with open_as(Role.VIEWER) as viewer:
                (child,) = await viewer.children("demo")
            await person.send("demo", SessionStop(by="ann"), 20)
            await eventually(lambda: _is(person, child.child, State.STOPPED), message="the child is stopped too")
    types = ["user.message", "child.start", "child.result"]
    assert [event.type for event in await _history(open_as, "demo")][:3] == types


class _Parent(ChatAgent):
    """Starts one child."""

    children: ClassVar[dict[str, Callable[[], ChatAgent]]] = {"helper": ChatAgent}

    async def step(self, ctx: Context) -> Step:
        """Start it, and wait."""
        return Step([ChildStart(name="helper", text="help")] if len(ctx.history) == 1 else [])


async def _history(open_as: Open, session: str) -> tuple[Message[Event], ...]:
    async with open_as(Role.VIEWER) as viewer:
        return await viewer.history(session)


async def test_a_viewer_changes_nothing(open_as: Open) -> None:
    """No command, no notice, no claim, no presence, and no plain Redis either."""
    async with open_as(Role.VIEWER) as bus:
        with pytest.raises(AccessDenied):
            await bus.send("x", SessionStart(by="eve"), 2)
        with pytest.raises(AccessDenied):
            await bus.worker.claim(WorkerRef(name="eve"), session="x", create=True)
        with pytest.raises(AccessDenied):
            await bus.admin.attend(Presence(role=Role.WORKER, name="eve"))
        client = bus._context.connection.commands
        for words in (
            ("SET", "x", "1"),
            ("DEL", "x"),
            ("PUBLISH", "status.x", "{}"),
            ("FLUSHALL",),
            ("CONFIG", "GET", "requirepass"),
        ):
            with pytest.raises(NoPermissionError):
                await client.execute_command(*words)  # type: ignore[no-untyped-call]


async def test_a_worker_hears_no_outcomes_and_a_person_writes_no_history(open_as: Open) -> None:
    """What each of them must not do is refused by the server, whatever program they use."""
    async with open_as(Role.WORKER) as worker, open_as(Role.PERSON) as person:
        with pytest.raises(AccessDenied):
            await worker.send("x", SessionStart(by="eve"), 2)
        claim = await worker.worker.claim(WorkerRef(name="w1"), session="demo", create=True)
        assert claim is not None
        forged = Message.of(UserMessage(text="forged", by="eve"), session="demo", source="eve", time=person.now())
        with pytest.raises(AccessDenied):
            await person.worker.append(claim, [forged], 0, 0.0)
        with pytest.raises(AccessDenied):
            await person.controller.due()
        await claim.release(Ending(Trigger.YIELD, read=0))


def test_no_right_reaches_beyond_the_prefix() -> None:
    """Each key and channel of each rule begins with the prefix, a pattern of planes included."""
    for role in Role:
        for grant in grants(role, Names("acme.")):
            assert all(name.startswith("acme.") for name in (*grant.keys, *grant.channels))
        assert all(words[0] == words[0].upper() for words in trials(role, Names()))


@asynccontextmanager
async def _running(run: Callable[[], Coroutine[Any, Any, None]], finish: Callable[[], None]) -> AsyncIterator[None]:
    task = asyncio.create_task(run())
    try:
        yield
    finally:
        finish()
        await asyncio.wait_for(task, PATIENCE_S)


async def _is(bus: Bus, session: str, state: State, events: int = 0) -> bool:
    record = await bus.status(session)
    return record.state is state and record.events >= events
