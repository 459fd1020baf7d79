"""The flags of the commands; those that stand for settings are made from the fields of ``Settings``."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from tidings.bus.redaction import environment_secrets
from tidings.workers.cli.exits import guarded
from tidings.workers.log import configure_logging
from tidings.workers.settings import Settings, flag_of, load_settings, variable_of

SessionName = Annotated[str, typer.Argument(metavar="SESSION", help="Name of the session: letters, digits, '_' and '-'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines with stable fields.")]
By = Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who asks; otherwise you, as user@host.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, for the people who see it.")]

CONNECTION = ("redis_url", "prefix")
"""Settings that every command on a bus has."""
COMMAND = (*CONNECTION, "payload_limit", "command_timeout_s")
"""Settings of a command that waits for its outcome."""
LOGGING = ("log_level", "log_json")
"""Settings that every command has, and that may also stand before the command."""

Command = Callable[..., int]

CONTEXT = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
"""The parameter through which typer hands over what stood before the command."""


def settings_options(*names: str) -> Callable[[Command], Callable[..., None]]:
    """Give a command the flags of the settings named, and of logging, in place of its parameter ``settings``.

    The command is called with a ``Settings`` made from the flags, the environment and the defaults, after
    logging was set up, and returns its exit code. A setting that cannot be used ends it with code 2 before.
    """

    def decorate(command: Command) -> Callable[..., None]:
        flags = (*names, *LOGGING)

        @functools.wraps(command)
        def call(ctx: typer.Context, **given: Any) -> None:
            chosen = {name: _joined(given.pop(name)) for name in flags}
            raise typer.Exit(guarded(lambda: command(settings=_settings(ctx, chosen), **given)))

        own = inspect.signature(command, eval_str=True)
        kept = [parameter for name, parameter in own.parameters.items() if name != "settings"]
        give_signature(call, [CONTEXT, *kept, *map(setting_option, flags)])
        return call

    return decorate


def _joined(value: Any) -> Any:
    """Return what a flag that may stand several times was given as the environment has it; None where it was not given."""
    return (",".join(value) or None) if isinstance(value, list) else value


def setting_option(name: str) -> inspect.Parameter:
    """Return the parameter that stands for one setting: the flag, its variable, its default, its help.

    Its value is text; ``Settings`` reads it, so that a flag and a variable are understood alike. The variable
    is only told here: typer reading it too would hide whether a flag was given.
    """
    field, flag = Settings.model_fields[name], flag_of(name)
    switch, default = field.annotation is bool, shown_default(name)
    shown = variable_of(name) + (f", default: {default}" if default else "")
    option = typer.Option(
        f"{flag.name}/--no-{flag.name.removeprefix('--')}" if switch else flag.name,
        help=rf"{field.description} [dim]\[{shown}][/dim]",
        metavar=None if switch else flag.metavar,
        rich_help_panel=flag.group,
        show_default=False,
    )
    kind: Any = bool | None if switch else list[str] | None if flag.repeated else str | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def shown_default(name: str) -> str:
    """Return the default of a setting as a person would write it; '' where there is none."""
    default = Settings.model_fields[name].get_default(call_default_factory=True, validated_data={})
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or isinstance(default, bool):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _settings(ctx: typer.Context, chosen: dict[str, Any]) -> Settings:
    """Read the settings; what stands after the command wins over what stands before it."""
    before: dict[str, Any] = ctx.obj or {}
    given = {**before, **{name: value for name, value in chosen.items() if value is not None}}
    settings = load_settings(given)
    given_secrets = {variable_of(name): value.get_secret_value() for name, value in settings if isinstance(value, SecretStr)}
    configure_logging(settings.log_level, as_json=settings.log_json, secrets=environment_secrets(given_secrets))
    logging.getLogger("tidings.cli").debug("cli.settings", extra={"settings": repr(settings)})
    return settings


def give_signature(call: Callable[..., object], parameters: Iterable[inspect.Parameter]) -> None:
    """Show typer the parameters of a function; it reads both the signature and the annotations.

    Args:
        parameters: the first may be positional; the others are passed by name.
    """
    first, *rest = parameters
    named = [first, *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in rest)]
    call.__dict__.pop("__wrapped__", None)
    call.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in named}
