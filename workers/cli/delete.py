"""Deleting sessions: those named, or those that have been over for long."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tidings.bus import Bus, Outcome, Result, State, UnknownSession, UnreadableRecord
from tidings.bus.messages import new_id
from tidings.workers.cli.choice import Choice
from tidings.workers.cli.exits import BadUsage, Exit
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.cli.steer import make_command, send, tell_applied, tell_refused, this_user
from tidings.workers.settings import Settings

_NAMED = 5


def delete(
    settings: Settings,
    choice: Choice,
    *,
    by: str | None = None,
    why: str = "",
    yes: bool = False,
    force: bool = False,
    as_json: bool = False,
) -> int:
    """Delete sessions one by one, and say what became of each; returns the exit code, that of the first that was not deleted.

    Args:
        choice: which; those that are not named are only deleted when a person agrees.
        by: sender of the command; None is the user of this process.
        yes: a person has agreed already.
        force: take those named away without a controller, whatever stands under their keys.

    Raises:
        BadUsage: there is no person to ask whether to delete what was not named, or what is not named is to be deleted by force.
    """
    if force and not choice.names:
        raise BadUsage("--force takes the names of sessions: `tidings doctor` lists those that cannot be read")
    if not (choice.names or yes or sys.stdin.isatty()):
        raise BadUsage("there is no terminal here to ask whether to delete what is found: add --yes")
    who = by or this_user()

    async def act(bus: Bus) -> int:
        sessions = [session async for session in choice.sessions(bus)]
        if not (choice.names or yes) and sessions and not _agreed(sessions):
            print("nothing was deleted", flush=True)
            return Exit.DONE
        if force:
            return max([await _force(bus, session, who, as_json) for session in sessions], default=Exit.DONE)
        return await _delete_all(bus, sessions, settings.command_timeout_s, who, why, as_json)

    return on_bus(settings, act)


async def _delete_all(bus: Bus, sessions: Sequence[str], timeout_s: float, by: str, why: str, as_json: bool) -> int:
    code = int(Exit.DONE)
    for session in sessions:
        found = await send(bus, session, make_command("session.delete", by=by, why=why), timeout_s, as_json=as_json)
        code = code or found
        if found == Exit.NO_ANSWER:
            # No controller decides: asking for the others would take as long for each of them.
            break
    return code


async def _force(bus: Bus, session: str, by: str, as_json: bool) -> int:
    """Delete one session without a controller; returns the exit code."""
    try:
        await bus.admin.force_delete(session, by=by)
    except (UnknownSession, UnreadableRecord) as error:
        return tell_refused(session, str(error), as_json=as_json)
    return tell_applied(Outcome(command_id=new_id(), session=session, result=Result.APPLIED, state=State.DELETED), as_json)


def _agreed(sessions: Sequence[str]) -> bool:
    """Ask the person at the terminal."""
    names = ", ".join(sorted(sessions)[:_NAMED]) + (", …" if len(sessions) > _NAMED else "")
    count = f"{len(sessions)} session{'' if len(sessions) == 1 else 's'}"
    print(f"delete {count} with all of their history ({names})? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
