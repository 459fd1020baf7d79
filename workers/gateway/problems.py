"""Errors as people's programs read them: RFC 9457 problem details. Each kind has a word, a status and a title."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from starlette.responses import Response

from tidings.bus.errors import (
    AccessDenied,
    CommandExpired,
    CommandRefused,
    IdempotencyConflict,
    InvalidMessage,
    PayloadTooLarge,
    ServerFull,
    SessionDeleted,
    TidingsError,
    UnknownSession,
    Unreachable,
    UnreadableRecord,
)
from tidings.workers.gateway.frames import as_json

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem.

    Attributes:
        status: of the answer.
        title: the same for every one of its kind.
        detail: what it means for a person, in sentences, where no more is known of the case.
        hint: what programs can make of the answer besides, for the description; names stand between backticks.
    """

    status: int
    title: str
    detail: str
    hint: str = ""


KINDS: Final = MappingProxyType(
    {
        "invalid": Kind(422, "The request is not as it must be", "Nothing was done.", "`detail` names the field."),
        "key-reused": Kind(
            422,
            "The Idempotency-Key is another command's",
            "Nothing was done: another command was sent under this Idempotency-Key. Take a new key for each command.",
        ),
        "malformed": Kind(400, "The request cannot be read", "It is not JSON, or not HTTP as it must be. Nothing was done."),
        "no-token": Kind(401, "A token is needed", "No token was given, or one that is not known here."),
        "not-allowed": Kind(403, "This token may only look", "Sending commands needs the token of an operator."),
        "foreign-origin": Kind(
            403, "Pages of other sites may not do this", "The gateway's operator can allow a site by TIDINGS_ALLOWED_ORIGINS."
        ),
        "not-found": Kind(404, "There is nothing here", "There is no such session, or nothing at this address."),
        "wrong-method": Kind(405, "This cannot be done here", "This address takes other methods.", "`Allow` names them."),
        "too-slow": Kind(408, "The request did not arrive in time", "Nothing was done. Send the request again, in one go."),
        "refused": Kind(
            409,
            "A controller refused the command",
            "Nothing has changed.",
            "`reason` says why, `legal` what would be accepted, `state` how the session is.",
        ),
        "no-length": Kind(
            411,
            "The length of the body is needed",
            "Nothing was done: the request does not say its length.",
            "Send `Content-Length`.",
        ),
        "deleted": Kind(410, "The session was deleted", "The session was deleted, and its name is not used again."),
        "too-large": Kind(413, "This is too large", "Nothing was done. Keep large content elsewhere and send a reference to it."),
        "wrong-type": Kind(
            415,
            "The body must be JSON",
            "Nothing was done: the body is not JSON.",
            "Send it with `Content-Type: application/json`.",
        ),
        "too-many": Kind(
            429,
            "Too many commands",
            "Nothing was done: too many commands were sent with this token.",
            "`Retry-After` says in how many seconds there may be another one.",
        ),
        "too-many-streams": Kind(
            429,
            "Too many streams are open with this token",
            "Too many streams are open with this token. Close what is not looked at, or try again in a few seconds.",
            "`Retry-After` says in how many.",
        ),
        "head-too-large": Kind(
            431, "The head of the request is too large", "Nothing was done. Send fewer and shorter headers, or a shorter address."
        ),
        "broken": Kind(500, "Something broke inside", "What it was stands in the log of the gateway."),
        "unreadable": Kind(
            500,
            "The record of the session cannot be read",
            "The record of the session cannot be read: tidings doctor says more. It can be exported, and deleted by force.",
        ),
        "unreachable": Kind(
            503,
            "Redis does not answer",
            "Redis does not answer. Try again in a moment.",
            "Whether a command was carried out is not known then. The same again under its `Idempotency-Key` tells, and is safe.",
        ),
        "full": Kind(
            503,
            "Too much is open here",
            "Too many streams or connections are open on this gateway. Try again in a few seconds.",
            "`Retry-After` says in how many.",
        ),
        "no-room": Kind(
            507,
            "The server is full",
            "Nothing was done: Redis has no memory left. Delete sessions, which it lets you do, or raise its maxmemory.",
        ),
        "not-answered": Kind(
            504,
            "No controller answered in time",
            "No controller answered in time. The command was withdrawn and will never be carried out. See that one runs.",
        ),
    }
)
"""The problems, by the word at the end of their type."""

_BY_STATUS: Final = {400: "malformed", 404: "not-found", 405: "wrong-method", 413: "too-large", 415: "wrong-type", 422: "invalid"}


class Problem(Exception):
    """A request cannot be answered as it was meant.

    Attributes:
        word: which of `KINDS`.
        detail: what is wrong this time, for a person.
        more: further members of the answer.
        headers: of the answer.
    """

    def __init__(self, word: str, detail: str = "", *, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail or KINDS[word].title)
        self.word, self.detail, self.more, self.headers = word, detail, more, headers or {}

    def response(self) -> Response:
        """Return the answer."""
        kind = KINDS[self.word]
        body = {
            "type": f"/api#{self.word}",
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail or kind.detail,
            **self.more,
        }
        return Response(as_json(body), kind.status, self.headers, MEDIA_TYPE)


def later(word: str, seconds: float, detail: str = "", **more: Any) -> Problem:
    """Return a problem that will be none after so many seconds.

    Args:
        detail: what is wrong this time, for a person; ``{wait}`` stands for the seconds.
        more: further members of the answer.
    """
    wait = str(max(1, math.ceil(seconds)))
    return Problem(word, detail.replace("{wait}", wait), headers={"Retry-After": wait}, **more)


def of_status(status: int, detail: str, headers: dict[str, str] | None = None) -> Problem:
    """Return the problem that stands for a status of HTTP."""
    word = _BY_STATUS.get(status, "malformed" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "broken")
    return Problem(word, detail, headers=headers)


def of_error(error: TidingsError) -> Problem:
    """Return the problem that an error of the bus is for the caller."""
    if isinstance(error, CommandRefused):
        state = error.state or None
        return Problem("refused", error.reason, command_id=error.command_id, reason=error.reason, state=state, legal=error.legal)
    if isinstance(error, IdempotencyConflict):
        detail = f"Nothing was done: another command was sent to {error.session} under this Idempotency-Key. Take a new key."
        return Problem("key-reused", detail, session=error.session)
    if isinstance(error, CommandExpired):
        return Problem("not-answered", command_id=error.command_id)
    if isinstance(error, SessionDeleted):
        detail = f"The session {error.session} was deleted, and its name is not used again."
        return Problem("deleted", detail, session=error.session)
    if isinstance(error, UnreadableRecord):
        return Problem("unreadable")
    if isinstance(error, UnknownSession):
        return Problem("not-found", f"There is no session {error.session}.", session=error.session)
    if isinstance(error, PayloadTooLarge):
        return Problem("too-large", str(error))
    if isinstance(error, InvalidMessage):
        return Problem("invalid", str(error))
    if isinstance(error, ServerFull):
        return Problem("no-room")
    if isinstance(error, AccessDenied):
        return Problem(
            "unreachable", "Redis does not let the gateway do that: see the rights of the role gateway in docs/operations.md."
        )
    return later("unreachable", 1.0) if isinstance(error, Unreachable) else Problem("broken")
