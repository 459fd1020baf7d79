"""The commands that run until they are told to end: worker, controller, gateway, all of them at once, provider; and the demo.

Here is what they are called and which flags they have, as in `tidings.workers.cli.actions`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from tidings.workers.cli.flags import COMMAND, CONNECTION, AsJson, Command, settings_options
from tidings.workers.settings import Settings

RUN = "Run"
WORKER = (
    *CONNECTION,
    "payload_limit",
    "model",
    "api_base",
    "agent",
    "queue",
    "system_prompt",
    "concurrency",
    "lease_s",
    "renew_s",
    "blocked_limit_s",
    "poll_s",
    "drain_timeout_s",
    "llm_timeout_s",
    "max_answer_bytes",
    "attempts",
    "backoff_base_s",
    "backoff_cap_s",
    "wait_budget_s",
    "max_inline_wait_s",
    "park_base_s",
    "park_cap_s",
    "park_for_s",
)
"""Settings of a worker."""
CONTROLLER = (*CONNECTION, "payload_limit", "lease_s", "controller_poll_s", "visibility_s", "loss_limit")
"""Settings of a controller."""
GATEWAY = (*COMMAND, "host", "port", "token", "viewer_token", "allowed_origins", "command_rate")
"""Settings of a gateway."""
UP = tuple(dict.fromkeys((*WORKER, *CONTROLLER, *GATEWAY)))
"""Settings of all of them together."""

Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="How people see it; otherwise host and process.", show_default=False),
]
_LIMITS, _ANSWERS, _SERVER = "Limits of each key and model", "Answers", "Server"


def add_services(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    running: tuple[tuple[Command, tuple[str, ...]], ...] = (
        (demo, ()),
        (up, UP),
        (worker, WORKER),
        (controller, CONTROLLER),
        (gateway, GATEWAY),
        (provider, ()),
    )
    for command, names in running:
        app.command(rich_help_panel=RUN)(settings_options(*names)(command))


def demo(
    settings: Settings,
    once: Annotated[bool, typer.Option("--once", help="Do it all alone, print a summary and end.")] = False,
    as_json: AsJson = False,
) -> int:
    """See a fleet meet rate limits: its own server, provider, controllers and workers, live."""
    # By its name, because the demo stands above the command line: it shows its table and starts its commands.
    code: int = import_module("tidings.workers.demo").run_demo(settings, once, as_json)
    return code


def up(
    settings: Settings,
    workers: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Workers to run.")] = 4,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the sessions are kept; otherwise they end with it.", show_default=False),
    ] = None,
) -> int:
    """Run it all in one process: a controller, workers, the page, and a Redis unless one is given; prints the link.

    Without --redis or its variable it starts a server of its own. The key of the provider is read from the environment as litellm
    reads it, for example OPENAI_API_KEY. Ctrl-C ends it.
    """
    from tidings.workers.cli.up import run_up

    return run_up(settings, workers, data)


def worker(settings: Settings, name: Name = None) -> int:
    """Work on queued sessions; SIGTERM or Ctrl-C lets it finish, a second one ends it at once.

    The key of the provider is read from the environment as litellm reads it, for example OPENAI_API_KEY.
    """
    from tidings.workers.cli.serve import run_worker

    return run_worker(settings, name)


def controller(settings: Settings, name: Name = None) -> int:
    """Decide the states of sessions and carry out commands; any number may run."""
    from tidings.workers.cli.serve import run_controller

    return run_controller(settings, name)


def gateway(settings: Settings, name: Name = None) -> int:
    """Serve the web page and the HTTP API; prints a link that lets you in."""
    from tidings.workers.cli.web import run_gateway

    return run_gateway(settings, name)


def _option(*names: str, panel: str, help: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel, show_default=False, **more)


def provider(
    settings: Settings,
    host: Annotated[str | None, _option(panel=_SERVER, metavar="HOST", help="Address to listen on: 127.0.0.1.")] = None,
    port: Annotated[int | None, _option(panel=_SERVER, metavar="PORT", help="Port to listen on: a free one.")] = None,
    key: Annotated[
        list[str] | None,
        _option(
            panel=_SERVER,
            metavar="KEY",
            help="A key that is known, any other is refused; may be repeated. Without: any key is served.",
            envvar="TIDINGS_PROVIDER_KEYS",
            show_envvar=True,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        _option("--model", panel=_SERVER, metavar="NAME", help="A model that exists; may be repeated."),
    ] = None,
    rpm: Annotated[int | None, _option(panel=_LIMITS, metavar="N", help="Requests a minute.")] = None,
    tpm: Annotated[int | None, _option(panel=_LIMITS, metavar="N", help="Tokens a minute.")] = None,
    limit_kind: Annotated[
        str | None,
        _option(panel=_LIMITS, metavar="KIND", help="bucket (refills steadily) or window (starts anew)."),
    ] = None,
    window: Annotated[float | None, _option(panel=_LIMITS, metavar="SECONDS", help="How long its minute lasts: 60.")] = None,
    burst: Annotated[int | None, _option(panel=_LIMITS, metavar="N", help="Requests at once: a minute's worth.")] = None,
    refused_count: Annotated[bool | None, _option(panel=_LIMITS, help="Whether refused calls use up the limit too.")] = None,
    retry_after: Annotated[
        str | None,
        _option(
            panel=_ANSWERS,
            metavar="STYLE",
            help="How a 429 says when to come back: seconds, float, date, ms or none.",
        ),
    ] = None,
    ratelimit_headers: Annotated[bool | None, _option(panel=_ANSWERS, help="Whether answers tell the limits (they do).")] = None,
    fail: Annotated[
        list[str] | None,
        _option(
            panel=_ANSWERS,
            metavar="SPEC",
            help="A failure to come, such as 500x2, 429:retry-after=2, timeout, cut or quota; may be repeated.",
        ),
    ] = None,
    latency: Annotated[float | None, _option(panel=_ANSWERS, metavar="SECONDS", help="Time before an answer begins: 0.")] = None,
    chunk_latency: Annotated[
        float | None,
        _option(panel=_ANSWERS, metavar="SECONDS", help="Time before each piece of a streamed answer: 0."),
    ] = None,
    answer: Annotated[
        str | None,
        _option(panel=_ANSWERS, metavar="TEXT", help="The answer to everything; echo repeats what was said."),
    ] = None,
    request_log: Annotated[int | None, _option(panel=_SERVER, metavar="N", help="Requests that are recorded: 10000.")] = None,
    request_log_bytes: Annotated[
        int | None, _option(panel=_SERVER, metavar="BYTES", help="Bytes of requests recorded: 64 MiB.")
    ] = None,
    body_bytes: Annotated[int | None, _option(panel=_SERVER, metavar="BYTES", help="Largest request: 16 MiB.")] = None,
    as_json: AsJson = False,
) -> int:
    """Run a provider for tests and demos: OpenAI's HTTP, with limits and failures as wanted.

    The first line printed is its address, for --api-base. What it saw is at /stats.
    """
    from tidings.workers.cli.provide import run_provider

    limit = {
        "requests_per_minute": rpm,
        "tokens_per_minute": tpm,
        "kind": limit_kind,
        "window_s": window,
        "burst": burst,
        "refused_count": refused_count,
    }
    given = {
        "host": host,
        "port": port,
        "models": models or None,
        "retry_after": retry_after,
        "ratelimit_headers": ratelimit_headers,
        "latency_s": latency,
        "chunk_latency_s": chunk_latency,
        "answer": answer,
        "request_log": request_log,
        "request_log_bytes": request_log_bytes,
        "body_bytes": body_bytes,
    }
    return run_provider(settings, given, limit, keys=key or (), faults=fail or (), as_json=as_json)
