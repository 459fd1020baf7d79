"""The flags that say how a session is to be worked on: queue, agent, model and so on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tidings.bus import Priority, Wanted, build
from tidings.workers.cli.exits import BadUsage
from tidings.workers.cli.flags import Command, give_signature

_FLAGS: dict[str, tuple[type[Any], str, str]] = {
    "queue": (str, "NAME", "Queue of the workers that take it."),
    "agent": (str, "NAME", "Name of the agent that runs it."),
    "model": (str, "MODEL", "Model that it asks, as litellm names it."),
    "priority": (Priority, "WHO", "Who waits for it: person or background."),
    "tenant": (str, "NAME", "Key of its fair share."),
}


def wanted_options(command: Callable[..., int]) -> Command:
    """Give a command the flags, in place of its parameter ``wanted``, which it gets as a `Wanted`."""

    @functools.wraps(command)
    def call(*args: Any, label: list[str] | None = None, **given: Any) -> int:
        fields = {name: given.pop(name) for name in _FLAGS}
        labels = parse_labels(label) if label else None
        return command(*args, wanted=build(Wanted, **fields, labels=labels), **given)

    own = [one for name, one in inspect.signature(command, eval_str=True).parameters.items() if name != "wanted"]
    give_signature(call, [*own, *(_option(name) for name in _FLAGS), _labels()])
    return call


def parse_labels(texts: list[str]) -> dict[str, str]:
    """Read labels as they are typed: ``customer=acme``; an empty text takes one away.

    Raises:
        BadUsage: one is not written so.
    """
    labels: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise BadUsage("a label is written NAME=TEXT, such as customer=acme; NAME= takes it away")
        labels[name] = value
    return labels


def _option(name: str) -> inspect.Parameter:
    kind, metavar, text = _FLAGS[name]
    annotation: Any = Annotated[kind | None, typer.Option(f"--{name}", metavar=metavar, help=text, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _labels() -> inspect.Parameter:
    option = typer.Option("--label", metavar="NAME=TEXT", help="A label; may be repeated.", show_default=False)
    annotation: Any = Annotated[list[str] | None, option]
    return inspect.Parameter("label", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
