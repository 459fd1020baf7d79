"""The command line: `tidings`. Here it is put together; each command is a module of its own.

Exit codes: 0 done, 1 cannot reach the server or broke inside, 2 usage, 3 refused or will not come, 4 no answer
in time, 5 blocked (`tidings.workers.cli.exits`).
"""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from tidings.workers.cli.actions import add_commands
from tidings.workers.cli.exits import Exit, guarded
from tidings.workers.cli.flags import CONTEXT, LOGGING, give_signature, setting_option
from tidings.workers.cli.services import add_services

__all__ = ["app", "main"]

_ABOUT = "News of LLM workers for the people who run them, and never for the model."

app = typer.Typer(
    name="tidings",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: the words after ``tidings``; None takes those of this process.
    """
    _print_whatever_it_is()
    return guarded(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        app(args=arguments, prog_name="tidings")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.FAILED if ended.code else Exit.DONE
    return Exit.DONE


def _print_whatever_it_is() -> None:
    """Never fail over a character that the terminal cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):
                stream.reconfigure(errors="replace")


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        number = version("tidings")
    except PackageNotFoundError:
        number = "(not installed)"
    print(f"tidings {number}")
    raise typer.Exit


def _before(ctx: typer.Context, *, show_version: bool, **settings: Any) -> None:
    """Keep the flags that stand before the command for it."""
    ctx.obj = {name: value for name, value in settings.items() if value is not None}


_SHOW_VERSION = inspect.Parameter(
    "show_version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ],
)
give_signature(_before, [CONTEXT, _SHOW_VERSION, *map(setting_option, LOGGING)])
app.callback(help=_ABOUT)(_before)
add_services(app)
add_commands(app)
