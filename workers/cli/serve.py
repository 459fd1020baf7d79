"""Running a worker or a controller: until a signal lets it finish, or a second one does not."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from importlib.util import find_spec
from typing import Any

from tidings.bus import Bus
from tidings.workers.agent import AgentFactory, BadAgent, load_agents
from tidings.workers.cli.exits import BadUsage, CommandFailed, Exit, end_at_once, end_blocked
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.controller import Controller
from tidings.workers.llm import close_litellm
from tidings.workers.llm.keys import tell_missing_key
from tidings.workers.settings import Settings, spelling
from tidings.workers.worker import Worker, keeper_for

log = logging.getLogger("tidings.cli")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
UNHEARD_S = 1.0
"""How long a signal may be unheard by the loop before another one ends the process."""
_LONGEST_NAME = 128


def run_worker(settings: Settings, name: str | None = None) -> int:
    """Work on sessions until told to end; returns the exit code.

    Raises:
        BadUsage: the model is missing, or the agent or the name cannot be used.
        CommandFailed: litellm is not installed.
    """
    if settings.model is None:
        raise BadUsage(f"give {spelling('model')} the model to call, such as openai/gpt-4o-mini")
    require("litellm")
    check_name(name)
    try:
        agents = load_agents(settings)
    except BadAgent as error:
        raise BadUsage(f"{spelling('agent')}: {error}") from None
    return on_bus(settings, lambda bus: work(bus, agents, settings, name))


async def work(bus: Bus, agents: AgentFactory | Mapping[str, AgentFactory], settings: Settings, name: str | None = None) -> int:
    """Run a worker on a bus that is open already; see ``run_worker``."""
    keeper = keeper_for(bus, settings, end_blocked)
    worker = Worker(bus, agents, settings, name=name, keeper=keeper)
    log.info("worker.starting", extra={"worker": worker.name, "redis": bus.address, "model": settings.model})
    # Beside its start, which imports litellm too.
    asking = asyncio.create_task(asyncio.to_thread(tell_missing_key, settings.model or "", settings.api_base))
    try:
        return await until_told(worker.run(), worker.drain)
    finally:
        await asyncio.wait({asking})
        await close_litellm()
        log.info("worker.ended", extra={"worker": worker.name, "claimed": worker.claimed})


def run_controller(settings: Settings, name: str | None = None) -> int:
    """Decide sessions until told to end; returns the exit code.

    Raises:
        BadUsage: the name cannot be used.
    """
    check_name(name)
    return on_bus(settings, lambda bus: control(bus, settings, name))


async def control(bus: Bus, settings: Settings, name: str | None = None) -> int:
    """Run a controller on a bus that is open already; see ``run_controller``."""
    controller = Controller(bus, settings, name=name)
    log.info("controller.started", extra={"controller": controller.name, "redis": bus.address})
    try:
        return await until_told(controller.run(), controller.stop)
    finally:
        log.info("controller.ended", extra={"controller": controller.name, "decided": controller.decided})


def require(package: str, extra: str = "worker") -> None:
    """Check that a package of an extra is there.

    Raises:
        CommandFailed: it is not.
    """
    if find_spec(package) is None:
        raise CommandFailed(f"{package} is not installed: pip install 'tidings[{extra}]'")


def check_name(name: str | None) -> None:
    """Check that a process can be called that.

    Raises:
        BadUsage: it cannot.
    """
    if name is not None and not (name.isprintable() and 1 <= len(name) <= _LONGEST_NAME):
        raise BadUsage(f"--name takes 1 to {_LONGEST_NAME} printable characters")


async def until_told(running: Coroutine[Any, Any, None], finish: Callable[[], None]) -> int:
    """Run something until it ends by itself; returns the exit code.

    The first SIGTERM or SIGINT calls ``finish``, after which ``running`` is expected to end and the code is 0. A
    second one cancels it, and the code is the one that shells give for that signal. Where the loop is blocked and hears nothing,
    one that comes a second after an unheard one ends the process with that code.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(running)
    told: list[signal.Signals] = []
    sent: list[float] = []

    def tell(number: signal.Signals) -> None:
        told.append(number)
        log.info("cli.finishing" if len(told) == 1 else "cli.cancelling", extra={"signal": number.name})
        if len(told) == 1:
            finish()
        else:
            task.cancel()

    def note(number: int, _: object) -> None:
        # Python calls this between two lines of the code that it runs.
        sent.append(time.monotonic())
        if sent[-1] - sent[min(len(told), len(sent) - 1)] >= UNHEARD_S:
            end_at_once(128 + number)

    for number in SIGNALS:
        loop.add_signal_handler(number, tell, number)
        # The loop is woken by the signal all the same; its own handler does nothing.
        signal.signal(number, note)
        signal.siginterrupt(number, False)
    try:
        await task
    except asyncio.CancelledError:
        if len(told) < 2:
            raise
        return 128 + told[-1]
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
    return Exit.DONE
