"""Running a provider for tests and demos."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tidings.workers.cli.exits import BadUsage, CommandFailed, Exit
from tidings.workers.cli.output import print_json
from tidings.workers.cli.serve import SIGNALS, require
from tidings.workers.log import configure_logging
from tidings.workers.settings import Settings

if TYPE_CHECKING:
    from tidings.workers.provider import Provider, ProviderSettings

_FLAGS = {
    "requests_per_minute": "--rpm",
    "tokens_per_minute": "--tpm",
    "kind": "--limit-kind",
    "window_s": "--window",
    "latency_s": "--latency",
    "chunk_latency_s": "--chunk-latency",
    "keys": "--key",
    "models": "--model",
    "script": "--fail",
}
"""Flags that do not follow from the name of the field."""


def run_provider(
    settings: Settings,
    given: Mapping[str, Any],
    limit: Mapping[str, Any],
    *,
    keys: Iterable[str] = (),
    faults: Iterable[str] = (),
    as_json: bool = False,
) -> int:
    """Serve until a signal ends it; returns the exit code.

    Args:
        given: fields of ``ProviderSettings``; None takes the default.
        limit: fields of ``Limit``, likewise; it holds for each key.
        keys: the keys that are known; never printed.
        faults: scripted failures in compact form.

    Raises:
        BadUsage: a value cannot be used.
        CommandFailed: aiohttp is not installed, or the address cannot be listened on.
    """
    require("aiohttp")
    keys = frozenset(keys)
    configure_logging(settings.log_level, as_json=settings.log_json, secrets=keys)
    wanted = provider_settings(given, limit, keys, faults)
    try:
        return asyncio.run(provide(wanted, as_json=as_json))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise CommandFailed(f"cannot listen on {wanted.host}:{wanted.port}: {error.strerror or error}") from error


def provider_settings(
    given: Mapping[str, Any], limit: Mapping[str, Any], keys: frozenset[str], faults: Iterable[str]
) -> ProviderSettings:
    """Return the settings of a provider from flags; see ``run_provider``.

    Raises:
        BadUsage: a value cannot be used; the text names its flag and not the value.
    """
    from tidings.workers.provider import Fault, FaultSyntaxError, Limit, ProviderSettings

    try:
        each = Limit(**_known(limit))
        script = tuple(Fault.parse(fault) for fault in faults)
        return ProviderSettings(**_known(given), limit=each, keys=dict.fromkeys(keys, each) or None, script=script)
    except FaultSyntaxError as error:
        raise BadUsage(f"--fail: {error}") from None
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
    raise BadUsage("; ".join(f"{_flag(problem['loc'])}{problem['msg']}" for problem in problems))


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _flag(place: tuple[int | str, ...]) -> str:
    """Return the flag that a field was given by, as the beginning of a sentence."""
    if not place:
        return ""
    name = str(place[0])
    return f"{_FLAGS.get(name, '--' + name.replace('_', '-'))}: "


async def provide(settings: ProviderSettings, *, as_json: bool = False) -> int:
    """Serve until a signal ends it, and print the address when it listens; see ``run_provider``."""
    from tidings.workers.provider import serve

    def ready(provider: Provider) -> None:
        if as_json:
            print_json(json.dumps({"base_url": provider.base_url}))
        else:
            print(provider.base_url, flush=True)

    task = asyncio.ensure_future(serve(settings, ready))
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
    return Exit.DONE
