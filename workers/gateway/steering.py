"""What changes something: sessions are started and steered, and the answer is what became of it."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Any, Final
from urllib.parse import unquote

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from tidings.bus import (
    Bus,
    Command,
    CommandExpired,
    CommandRefused,
    Message,
    Outcome,
    ServerFull,
    SessionChange,
    SessionDelete,
    SessionPause,
    SessionResume,
    SessionSay,
    SessionStart,
    SessionStop,
    TidingsError,
    Unreachable,
    Wanted,
    build,
)
from tidings.bus.messages import check_session, new_id
from tidings.bus.redaction import one_line
from tidings.workers.gateway.description import SENDING, problems
from tidings.workers.gateway.frames import as_json
from tidings.workers.gateway.guard import caller_of
from tidings.workers.gateway.models import NewCommand, NewSession, OutcomeView
from tidings.workers.gateway.options import GatewayOptions
from tidings.workers.gateway.problems import Problem, later
from tidings.workers.gateway.token_bucket import TokenBucket
from tidings.workers.gateway.tokens import Rank
from tidings.workers.gateway.viewers import Counts

_LONGEST_NAME: Final = 100
_REWORKED: Final = frozenset({"session.resume", "session.change"})
_PLAIN: Final[dict[str, type[Command]]] = {
    "session.resume": SessionResume,
    "session.pause": SessionPause,
    "session.stop": SessionStop,
    "session.delete": SessionDelete,
    "session.change": SessionChange,
}

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=1000,
        description="Makes a repeat safe: the same command sent under it again gets its first outcome, for 24 h. "
        "Another command of the session under the same key is refused with 422.",
    ),
]
User = Annotated[
    str,
    Header(alias="X-Tidings-User", max_length=1000, description="The sender, for the people who see it. A label, not a proof."),
]


class Steering:
    """Sends the commands of the gateway's users."""

    def __init__(self, bus: Bus, options: GatewayOptions, counts: Counts) -> None:
        self._bus, self._timeout_s, self._counts = bus, options.command_timeout_s, counts
        self._allowance = TokenBucket(options.command_rate)

    async def send(self, request: Request, command: Message[Command], key: str) -> Outcome:
        """Send a command and wait for its outcome.

        Args:
            key: its ``Idempotency-Key``, '' for none.

        Raises:
            Problem: the token has sent too many.
            TidingsError: it was not applied; `problems.of_error` makes it the caller's problem.
        """
        caller = caller_of(request)
        wait_s = self._allowance.take(caller.rank if caller else None)
        if wait_s:
            self._counts.command(command.type, "limited")
            raise later(
                "too-many", wait_s, "Nothing was done: too many commands were sent with your token. Try again in {wait} s."
            )
        try:
            outcome = await self._bus.send(
                command.session, command.data, self._timeout_s, key=key, id=command.id, source=command.source
            )
        except TidingsError as error:
            self._counts.command(command.type, _result(error))
            if isinstance(error, Unreachable) and not isinstance(error, ServerFull):
                raise self._in_doubt(command) from error
            raise
        self._counts.command(command.type, outcome.result.value)
        return outcome

    def _in_doubt(self, command: Message[Command]) -> Problem:
        """Say what is known of a command where Redis did not answer: it may be there, and be carried out before it expires."""
        detail = (
            "Redis does not answer, and what was asked may have been done or not. "
            f"If it is not done within {self._timeout_s:g} s it never will be. Look at the session before you ask again."
        )
        return later("unreachable", 1.0, detail, command_id=command.id)


def _result(error: TidingsError) -> str:
    if isinstance(error, CommandRefused):
        return "refused"
    return "expired" if isinstance(error, CommandExpired) else "failed"


def steering_routes(steering: Steering) -> APIRouter:
    """Return the routes that change something."""
    router = APIRouter(prefix="/api", tags=["steering"])

    @router.post("/sessions", status_code=201, response_model=OutcomeView, responses=problems(*SENDING))
    async def start(request: Request, new: NewSession, key: IdempotencyKey = "", user: User = "") -> Response:
        """Start a session; 201 means that it is queued."""
        session = check_session(new.session if new.session is not None else _made_session(key))
        start = build(SessionStart, by=who(request, user), why=new.why, text=new.text, **new.wanted())
        id = command_id(key, session, "session.start", new.text, new.why, *_asked(new))
        command = Message.of(start, id=id, session=session, source="gateway")
        outcome = await steering.send(request, command, key)
        return Response(_applied(outcome), 201, {"Location": f"/api/sessions/{session}"}, "application/json")

    @router.post("/sessions/{session}/commands", response_model=OutcomeView, responses=problems(404, *SENDING))
    async def command(request: Request, session: str, new: NewCommand, key: IdempotencyKey = "", user: User = "") -> Response:
        """Resume, pause, stop or delete a session, or say something; 200 means that it has happened."""
        id = command_id(key, session, new.type, new.text, new.why, *_asked(new))
        outcome = await steering.send(request, _command(session, new, id, who(request, user)), key)
        return Response(_applied(outcome), 200, media_type="application/json")

    return router


def _command(session: str, new: NewCommand, id: str, by: str) -> Message[Command]:
    envelope: dict[str, Any] = {"id": id, "session": check_session(session), "source": "gateway"}
    if new.type == "session.say":
        if new.text is None:
            raise Problem("invalid", "text: session.say needs what is said.")
        return Message.of(build(SessionSay, by=by, why=new.why, text=new.text), **envelope)
    if new.text is not None:
        raise Problem("invalid", f"text: only session.say says something, this is {new.type}.")
    wanted = new.wanted()
    if wanted and new.type not in _REWORKED:
        raise Problem("invalid", f"{', '.join(wanted)}: only a start, session.resume and session.change say how it is worked on.")
    return Message.of(build(_PLAIN[new.type], by=by, why=new.why, **wanted), **envelope)


def _asked(new: Wanted) -> tuple[str, ...]:
    """Return what makes it another command; nothing where nothing is wanted."""
    wanted = new.wanted()
    return (as_json(wanted).decode(),) if wanted else ()


def command_id(key: str, *asked: str | None) -> str:
    """Return the id of a command: the same each time that the same is asked under an ``Idempotency-Key``, else a new one.

    Args:
        key: the header, '' without one.
        asked: all that makes it another command. The sender is not part of that: a colleague's repeat is a repeat.
    """
    return hashlib.sha256(as_json([key, *asked])).hexdigest()[:32] if key else new_id()


def _made_session(key: str) -> str:
    """Return the id of a session that was started without one; a repeated request gets the same one."""
    return f"s-{hashlib.sha256(key.encode(errors='replace')).hexdigest()[:12] if key else secrets.token_hex(6)}"


def who(request: Request, user: str) -> str:
    """Return the sender as others see it: the name that they give, else their role, and that they came by the web.

    A name may be percent-encoded: headers hold no letters beyond Latin.
    """
    caller = caller_of(request)
    rank = caller.rank if caller else Rank.VIEWER
    return f"{one_line(unquote(user), _LONGEST_NAME) or rank.value} (web)"


def _applied(outcome: Outcome) -> bytes:
    return as_json(
        {
            "command_id": outcome.command_id,
            "session": outcome.session,
            "result": outcome.result,
            "state": outcome.state,
            "version": outcome.version,
            "warning": outcome.warning,
        }
    )
