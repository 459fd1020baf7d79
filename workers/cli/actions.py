"""The commands for people and scripts: steering sessions and looking at them.

Here is what they are called and which flags they have; what they do is in the modules that they import when
they are run, so that `tidings --help` is quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from tidings.bus.messages.work import Wanted
from tidings.workers.cli.exits import BadUsage
from tidings.workers.cli.flags import COMMAND, CONNECTION, AsJson, By, Command, SessionName, Why, settings_options
from tidings.workers.cli.wanted import wanted_options
from tidings.workers.settings import Settings

STEER = "Steer a session, and wait for the outcome"
LOOK = "Look at sessions"
CARE = "Look after an installation"
KEEP = "Keep sessions, or take them away"
DOCTOR = (*CONNECTION, "model", "api_base", "lease_s", "llm_timeout_s")
"""Settings of the doctor."""

Message = Annotated[
    str | None,
    typer.Option("--message", "-m", metavar="TEXT", help="What to say to the agent.", show_default=False),
]


def add_commands(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    steering: tuple[Command, ...] = (wanted_options(start), say, wanted_options(resume), wanted_options(change), pause, stop)
    looking: tuple[tuple[Command, tuple[str, ...]], ...] = (
        (status, CONNECTION),
        (sessions, CONNECTION),
        (history, CONNECTION),
        (watch, COMMAND),
        (wait, CONNECTION),
    )
    caring: tuple[tuple[Command, tuple[str, ...]], ...] = (
        (workers, CONNECTION),
        (doctor, DOCTOR),
        (health, CONNECTION),
    )
    keeping: tuple[tuple[str, Command, tuple[str, ...]], ...] = (
        ("delete", delete, COMMAND),
        ("export", export, CONNECTION),
        ("import", import_, (*CONNECTION, "payload_limit")),
    )
    for command in steering:
        app.command(rich_help_panel=STEER)(settings_options(*COMMAND)(command))
    for command, names in looking:
        app.command(rich_help_panel=LOOK)(settings_options(*names)(command))
    for command, names in caring:
        app.command(rich_help_panel=CARE)(settings_options(*names)(command))
    for name, command, names in keeping:
        app.command(name, rich_help_panel=KEEP)(settings_options(*names)(command))


def start(
    settings: Settings,
    session: SessionName,
    wanted: Wanted,
    message: Message = None,
    by: By = None,
    why: Why = "",
    as_json: AsJson = False,
) -> int:
    """Start a session, with the first thing said to its agent."""
    from tidings.workers.cli.steer import steer

    return steer(settings, "session.start", session, text=message, wanted=wanted, by=by, why=why, as_json=as_json)


def say(
    settings: Settings,
    session: SessionName,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="What to say; or give it with --message.", show_default=False),
    ] = None,
    message: Message = None,
    by: By = None,
    why: Why = "",
    as_json: AsJson = False,
) -> int:
    """Say something more to the agent of a session."""
    from tidings.workers.cli.steer import steer

    if (text is None) == (message is None):
        raise BadUsage("say one thing: tidings say SESSION TEXT, or tidings say SESSION --message TEXT")
    said = message if text is None else text
    return steer(settings, "session.say", session, text=said, by=by, why=why, as_json=as_json)


def resume(
    settings: Settings, session: SessionName, wanted: Wanted, by: By = None, why: Why = "", as_json: AsJson = False
) -> int:
    """Go on with what was interrupted, now, with another model for example; nothing is added to the history."""
    from tidings.workers.cli.steer import steer

    return steer(settings, "session.resume", session, wanted=wanted, by=by, why=why, as_json=as_json)


def change(
    settings: Settings, session: SessionName, wanted: Wanted, by: By = None, why: Why = "", as_json: AsJson = False
) -> int:
    """Change how a session is worked on, from its next turn on, and its labels."""
    from tidings.workers.cli.steer import steer

    if not wanted.wanted():
        raise BadUsage("say what is to change: --queue, --agent, --model, --priority, --tenant or --label")
    return steer(settings, "session.change", session, wanted=wanted, by=by, why=why, as_json=as_json)


def pause(settings: Settings, session: SessionName, by: By = None, why: Why = "", as_json: AsJson = False) -> int:
    """Stop working on a session until it is resumed."""
    from tidings.workers.cli.steer import steer

    return steer(settings, "session.pause", session, by=by, why=why, as_json=as_json)


def stop(settings: Settings, session: SessionName, by: By = None, why: Why = "", as_json: AsJson = False) -> int:
    """End a session for good."""
    from tidings.workers.cli.steer import steer

    return steer(settings, "session.stop", session, by=by, why=why, as_json=as_json)


def status(settings: Settings, session: SessionName, as_json: AsJson = False) -> int:
    """Show what is known of one session."""
    from tidings.workers.cli.show import show_status

    return show_status(settings, session, as_json=as_json)


def sessions(
    settings: Settings,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Only those in this state.", show_default=False)] = None,
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this queue.", show_default=False)] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those that name this agent.", show_default=False)
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="Only those with this label; may be repeated.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List all sessions."""
    from tidings.workers.cli.show import Filter, list_sessions

    return list_sessions(settings, state, Filter.of(queue, agent, label or ()), as_json=as_json)


def history(
    settings: Settings,
    session: SessionName,
    after: Annotated[int, typer.Option(metavar="OFFSET", min=0, help="Begin after this offset.", show_default=False)] = 0,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Print at most so many.", show_default=False)] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    as_json: AsJson = False,
) -> int:
    """Print what was said and done in a session."""
    from tidings.workers.cli.history import show_history

    return show_history(settings, session, after=after, limit=limit, follow=follow, as_json=as_json)


def watch(
    settings: Settings,
    channel: Annotated[
        str,
        typer.Argument(metavar="[CHANNEL]", help="status.SESSION, events.SESSION, commands.SESSION or status.*"),
    ] = "status.*",
    as_json: AsJson = False,
) -> int:
    """Watch sessions as they change, and steer them; ends with q or Ctrl-C.

    On a terminal status.* is a live view of all sessions and status.SESSION of one; elsewhere, a line where something changes.
    """
    from tidings.workers.cli.watch import watch

    return watch(settings, channel, as_json=as_json)


def wait(
    settings: Settings,
    session: SessionName,
    until: Annotated[
        str, typer.Option(metavar="STATES", help="The states to wait for, separated by commas.")
    ] = "finished,awaiting_input",
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0, max=31_536_000, help="Longest to wait.")] = 60.0,
    as_json: AsJson = False,
) -> int:
    """Wait until a session reaches a state, and print what it is then.

    Ends with 0 when it is reached, 3 when it will not be without a person's doing, 4 when time is up.
    """
    from tidings.workers.cli.wait import wait

    return wait(settings, session, until, timeout, as_json=as_json)


Names = Annotated[list[str] | None, typer.Argument(metavar="[SESSION]...", help="Names of sessions.", show_default=False)]
OlderThan = Annotated[
    str | None,
    typer.Option(metavar="AGE", help="Those that have been over for so long: 90s, 15m, 12h, 30d.", show_default=False),
]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state", metavar="STATE", help="Those in this state instead of all that are over; may be repeated.", show_default=False
    ),
]


def delete(
    settings: Settings,
    sessions: Names = None,
    older_than: OlderThan = None,
    state: States = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting what was not named.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Without a controller, for sessions that cannot be read; needs the rights of one.")
    ] = False,
    by: By = None,
    why: Why = "",
    as_json: AsJson = False,
) -> int:
    """Delete sessions with their history, for good; their names are not used again."""
    from tidings.workers.cli.choice import Choice
    from tidings.workers.cli.delete import delete

    choice = Choice.of(sessions or (), older_than, state or ())
    return delete(settings, choice, by=by, why=why, yes=yes, force=force, as_json=as_json)


def export(
    settings: Settings,
    sessions: Names = None,
    older_than: OlderThan = None,
    state: States = None,
    to: Annotated[str, typer.Option(metavar="FILE", help="File to write, as a whole or not at all; - is stdout.")] = "-",
) -> int:
    """Write sessions with their history as JSON lines."""
    from tidings.workers.cli.backup import export
    from tidings.workers.cli.choice import Choice

    return export(settings, Choice.of(sessions or (), older_than, state or ()), to)


def import_(
    settings: Settings,
    source: Annotated[str, typer.Argument(metavar="FILE", help="An export; - is stdin.")],
    name: Annotated[str | None, typer.Option("--as", metavar="SESSION", help="Another name for it.", show_default=False)] = None,
    only: Annotated[
        str | None, typer.Option(metavar="SESSION", help="Only this one of those in the export.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Make sessions out of an export, each whole or not at all."""
    from tidings.workers.cli.backup import restore

    return restore(settings, source, name, only, as_json=as_json)


def workers(settings: Settings, as_json: AsJson = False) -> int:
    """List the workers, controllers and gateways: where they run, what they hold, when they were last heard of."""
    from tidings.workers.cli.members import list_processes

    return list_processes(settings, as_json=as_json)


def doctor(
    settings: Settings,
    role: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE",
            help="Try the rights of this role only: worker, controller, person, viewer or gateway; may be repeated.",
            show_default=False,
        ),
    ] = None,
    model_call: Annotated[bool, typer.Option("--model-call", help="Also ask --model for one token; that costs money.")] = False,
    as_json: AsJson = False,
) -> int:
    """Look at the server, the rights, the processes and the queues, and say what to do about what is found.

    Ends with 0 when there is no problem, with 1 when there is one or the server cannot be reached.
    """
    from tidings.workers.cli.doctor import diagnose

    return diagnose(settings, roles=role or (), model_call=model_call, as_json=as_json)


def health(
    settings: Settings,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="worker, controller or gateway")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The one of this name, wherever it runs.")] = None,
    as_json: AsJson = False,
) -> int:
    """Say whether the worker, controller or gateway of this machine or container is alive, as the rest of the fleet sees it.

    Ends with 0 when it was heard of within the last seconds, otherwise with 1; made for health checks.
    """
    from tidings.workers.cli.members import check_health

    return check_health(settings, role, name, as_json=as_json)
