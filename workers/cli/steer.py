"""Steering: send one command, wait for its outcome, say what became of it."""

from __future__ import annotations

import getpass
import socket
from typing import Any, Literal

from tidings.bus import (
    Bus,
    Command,
    CommandExpired,
    CommandRefused,
    Outcome,
    Result,
    SessionChange,
    SessionDelete,
    SessionDeleted,
    SessionPause,
    SessionResume,
    SessionSay,
    SessionStart,
    SessionStop,
    State,
    UnknownSession,
    UnreadableRecord,
    Wanted,
    build,
)
from tidings.bus.messages import check_session, new_id
from tidings.bus.states import legal_commands
from tidings.workers.cli.exits import Exit
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.cli.output import complain, print_json
from tidings.workers.cli.view import OutcomeView
from tidings.workers.settings import Settings
from tidings.workers.view import LOOKS

Kind = Literal[
    "session.start", "session.say", "session.resume", "session.pause", "session.stop", "session.delete", "session.change"
]

_MODELS: dict[Kind, type[Command]] = {
    "session.start": SessionStart,
    "session.say": SessionSay,
    "session.resume": SessionResume,
    "session.pause": SessionPause,
    "session.stop": SessionStop,
    "session.delete": SessionDelete,
    "session.change": SessionChange,
}


def steer(
    settings: Settings,
    kind: Kind,
    session: str,
    *,
    by: str | None = None,
    why: str = "",
    text: str | None = None,
    wanted: Wanted | None = None,
    as_json: bool = False,
) -> int:
    """Send a command and wait for its outcome; returns the exit code. The command expires with its asker.

    Args:
        by: sender of the command; None is the user of this process.
        text: what is said, for a start and a say.
        wanted: how it is to be worked on, for a start, a resume and a change.

    Raises:
        InvalidMessage: the name, the text or the sender cannot be sent.
    """
    check_session(session)
    command = make_command(kind, by=by or this_user(), why=why, text=text, wanted=wanted)
    return on_bus(settings, lambda bus: send(bus, session, command, settings.command_timeout_s, as_json=as_json))


def make_command(kind: Kind, *, by: str, why: str = "", text: str | None = None, wanted: Wanted | None = None) -> Command:
    """Return a command as it is sent.

    Raises:
        InvalidMessage: a part of it cannot be sent.
    """
    fields: dict[str, Any] = {"by": by, "why": why, **(wanted.wanted() if wanted else {})}
    if kind in ("session.start", "session.say"):
        fields["text"] = text
    return build(_MODELS[kind], **fields)


def this_user() -> str:
    """Return the user of this process, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


async def send(bus: Bus, session: str, command: Command, timeout_s: float, *, as_json: bool) -> int:
    """Send a command on a bus that is open already; see ``steer``."""
    id = new_id()
    try:
        outcome = await bus.send(session, command, timeout_s, id=id, source="cli")
    except CommandRefused as refusal:
        view = _refused(session, id, refusal.reason, refusal.state, refusal.legal)
    except SessionDeleted as error:
        view = _refused(session, id, str(error), "", ())
    except UnknownSession as error:
        view = _refused(session, id, str(error), "", legal_commands(None))
        # A delete is not answered with the advice to start it.
        return _tell_not_applied(view, as_json, advise=not isinstance(command, SessionDelete))
    except UnreadableRecord as error:
        view = _refused(session, id, str(error), "", ())
    except CommandExpired as error:
        view = OutcomeView(result=Result.EXPIRED, command_id=id, session=session, reason=str(error))
    else:
        return tell_applied(outcome, as_json)
    return _tell_not_applied(view, as_json)


def _refused(session: str, id: str, reason: str, state: str, legal: tuple[str, ...]) -> OutcomeView:
    return OutcomeView(
        result=Result.REFUSED,
        command_id=id,
        session=session,
        reason=reason or None,
        state=State(state) if state else None,
        legal=legal,
    )


def tell_refused(session: str, reason: str, *, as_json: bool) -> int:
    """Say why nothing was done; returns the exit code."""
    return _tell_not_applied(_refused(session, new_id(), reason, "", ()), as_json)


def tell_applied(outcome: Outcome, as_json: bool) -> int:
    """Say what was done; returns the exit code."""
    if as_json:
        print_json(OutcomeView.applied(outcome).line())
    else:
        state = LOOKS[outcome.state].word if outcome.state else "gone"
        print(
            f"{outcome.session}: applied, the session is {state}" + (f"; {outcome.warning}" if outcome.warning else ""),
            flush=True,
        )
    return Exit.DONE


def _tell_not_applied(view: OutcomeView, as_json: bool, *, advise: bool = True) -> int:
    if as_json:
        print_json(view.line())
    elif view.result is Result.EXPIRED:
        complain(view.reason or "no controller answered")
    else:
        legal = ", ".join(name.removeprefix("session.") for name in view.legal if advise)
        state = f" while {LOOKS[view.state].word}" if view.state else ""
        complain(f"refused{state}: {view.reason}" + (f"; what would be accepted now: {legal}" if legal else ""))
    return Exit.NO_ANSWER if view.result is Result.EXPIRED else Exit.REFUSED
