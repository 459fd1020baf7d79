"""Everything in one process: a server, a controller, workers and the page, for one person on one machine."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import SecretStr

from tidings.bus import Bus
from tidings.workers.agent import AgentFactory, BadAgent, load_agents
from tidings.workers.cli.exits import BadUsage, CommandFailed, end_blocked
from tidings.workers.cli.invocation import own_name
from tidings.workers.cli.open_bus import open_bus
from tidings.workers.cli.serve import require, until_told
from tidings.workers.cli.web import check_gateway
from tidings.workers.controller import Controller
from tidings.workers.llm import close_litellm, load_litellm
from tidings.workers.llm.keys import tell_missing_key
from tidings.workers.settings import Settings, spelling
from tidings.workers.worker import Worker, keeper_for

if TYPE_CHECKING:
    from tidings.workers.gateway import ServedGateway

log = logging.getLogger("tidings.cli")


def run_up(settings: Settings, workers: int, data: Path | None) -> int:
    """Run it all until told to end; returns the exit code.

    Args:
        workers: how many.
        data: folder for the sessions; without it they end with us. Not with a Redis that was given.

    Raises:
        BadUsage: the model is missing, or the agent, the address or the folder cannot be used.
        CommandFailed: a package is missing, or the port is taken.
    """
    if settings.model is None:
        raise BadUsage(
            f"give {spelling('model')} the model to call, such as openai/gpt-4o-mini, and its key in the environment; "
            "`tidings demo` needs neither"
        )
    require("litellm")
    check_gateway(settings)
    try:
        agents = load_agents(settings)
    except BadAgent as error:
        raise BadUsage(f"{spelling('agent')}: {error}") from None
    settings = with_server(settings, data)

    async def run() -> int:
        async with open_bus(settings) as bus:
            return await up(bus, agents, settings, workers, data)

    return asyncio.run(run())


def with_server(settings: Settings, data: Path | None) -> Settings:
    """Return the settings with a server of our own, unless a Redis was given.

    Raises:
        BadUsage: there is a Redis and a folder.
    """
    if "redis_url" in settings.model_fields_set:
        if data is not None:
            raise BadUsage(f"--data is for a server of our own, and {spelling('redis_url')} gives another: leave one away")
        return settings
    url = "embedded://" + (quote(str(data.absolute())) if data else "")
    return settings.model_copy(update={"redis_url": SecretStr(url)})


async def up(
    bus: Bus, agents: AgentFactory | Mapping[str, AgentFactory], settings: Settings, workers: int, data: Path | None = None
) -> int:
    """Run controller, workers and page on a bus that is open already; see ``run_up``."""
    # Before the page: its two seconds of importing would make the first visitors wait, and no other thread imports meanwhile.
    await asyncio.to_thread(load_litellm)
    await asyncio.to_thread(tell_missing_key, settings.model or "", settings.api_base)
    fleet = LocalFleet(bus, agents, settings, workers)
    async with _served(bus, settings) as served:

        async def run() -> None:
            # Only now: what was started by a program may be told to end as soon as this is read.
            for line in welcome(bus, served, settings, workers, data):
                print(line, flush=True)
            await fleet.run()

        try:
            return await until_told(run(), fleet.drain)
        finally:
            await close_litellm()


@asynccontextmanager
async def _served(bus: Bus, settings: Settings) -> AsyncIterator[ServedGateway]:
    from tidings.workers.gateway import GatewayOptions, serve

    async with AsyncExitStack() as stack:
        serving = serve(bus, settings.host, settings.port, GatewayOptions.of(settings))
        try:
            served = await stack.enter_async_context(serving)
        except OSError as error:
            raise CommandFailed(
                f"{settings.host} port {settings.port} cannot be listened on ({error.strerror or error}): "
                f"give {spelling('port')} another, or 0 for any that is free"
            ) from None
        yield served


def welcome(bus: Bus, served: ServedGateway, settings: Settings, workers: int, data: Path | None) -> list[str]:
    """Return what a person needs to go on, in lines."""
    own = settings.redis_url.get_secret_value().startswith("embedded:")
    # The address of a server that was given may hold its password, and the person that gave it knows it.
    other = f" --redis {shlex.quote(bus.url)}" if own else ""
    options = served.gateway.options
    lines = [
        f"page     {served.link if options.generated else served.url}",
        f"redis    {bus.url if own else bus.address}",
        f"workers  {workers}, for {settings.model}",
        f"watch    {own_name()} watch{other}",
        f'start    {own_name()} start hello --message "Why is the sea salt?"{other}',
    ]
    if own:
        kept = f"kept in {data.absolute()}" if data else "not kept: give --data FOLDER to have the sessions again next time"
        lines.insert(2, f"data     {kept}")
    return [*lines, "Ctrl-C   ends it; a second one does not wait for what is under way"]


class LocalFleet:
    """A controller and workers on one bus.

    Args:
        workers: how many; each takes as many sessions at a time as the settings say.
    """

    def __init__(self, bus: Bus, agents: AgentFactory | Mapping[str, AgentFactory], settings: Settings, workers: int) -> None:
        self._controller = Controller(bus, settings)
        keeper = keeper_for(bus, settings, end_blocked)
        self._workers = [Worker(bus, agents, settings, keeper=keeper) for _ in range(workers)]

    def drain(self) -> None:
        """Have ``run`` return when the workers have ended what is under way; what only waits is handed back."""
        for worker in self._workers:
            worker.drain()

    async def run(self) -> None:
        """Work until drained; the controller ends last, so that it sees everything in its place.

        Raises:
            Exception: one of them has a defect; the others are ended.
        """
        try:
            await self._run()
        except BaseExceptionGroup as found:
            raise found.exceptions[0] from None

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._controller.run(), name="tidings-up-controller")
            working = [group.create_task(worker.run(), name=f"tidings-up-{worker.name}") for worker in self._workers]
            await asyncio.wait(working)
            self._controller.stop()
