"""Running a gateway until a signal: every stream then ends, and what is under way is finished."""

from __future__ import annotations

import asyncio
import logging
from importlib.util import find_spec

from tidings.bus import Bus, TidingsError
from tidings.workers.cli.exits import BadUsage, CommandFailed
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.cli.serve import check_name, require, until_told
from tidings.workers.settings import Settings, spelling

log = logging.getLogger("tidings.cli")

_NEEDED = ("fastapi", "uvicorn", "sse_starlette", "prometheus_client")


def run_gateway(settings: Settings, name: str | None = None) -> int:
    """Serve until told to end; returns the exit code.

    Raises:
        BadUsage: others could reach it and no token was chosen, or the name cannot be used.
        CommandFailed: a package is missing, or the address cannot be listened on.
    """
    check_gateway(settings)
    check_name(name)
    return on_bus(settings, lambda bus: show(bus, settings, name))


def is_gateway_installed() -> bool:
    """Return whether the packages of the ``gateway`` extra are there."""
    return all(find_spec(package) for package in _NEEDED)


def check_gateway(settings: Settings) -> None:
    """Check that a gateway can be had as the settings ask for it.

    Raises:
        BadUsage: others could reach it and no token was chosen.
        CommandFailed: a package is missing.
    """
    for package in _NEEDED:
        require(package, "gateway")
    from tidings.workers.gateway import is_loopback

    if settings.token is None and not is_loopback(settings.host):
        raise BadUsage(
            f"{settings.host} can be reached from outside: choose a token for operators, and give it as {spelling('token')}"
        )


async def show(bus: Bus, settings: Settings, name: str | None = None) -> int:
    """Serve on a bus that is open already; see ``run_gateway``."""
    from tidings.workers.gateway import GatewayOptions, serve

    options, told = GatewayOptions.of(settings), asyncio.Event()
    try:
        async with serve(bus, settings.host, settings.port, options, name=name) as served:
            log.info("gateway.started", extra={"gateway": served.gateway.name, "redis": bus.address, "url": served.url})
            code = await until_told(_until(told, served.link if options.generated else served.url), told.set)
    except OSError as error:
        if isinstance(error, TidingsError):
            raise
        raise CommandFailed(f"{settings.host} port {settings.port} cannot be listened on: {error.strerror or error}") from None
    log.info("gateway.ended", extra={"gateway": served.gateway.name})
    return code


async def _until(told: asyncio.Event, address: str) -> None:
    # Only now: a gateway that was started by a program may be told to end as soon as this is read.
    print(address, flush=True)
    await told.wait()
