"""Errors as people's programs read them: RFC 9457 problem details. Each kind has a word, a status and a title."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from starlette.responses import Response

from bus.errors import (
    AccessDenied,
    CommandExpired,
    CommandRefused,
    InvalidMessage,
    KeyReused,
    PayloadTooLarge,
    SessionDeleted,
    TidingsError,
    UnknownSession,
    Unreachable,
    UnreadableRecord,
)
from workers.gateway.frames import as_json

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem.

    Attributes:
        status: of the answer.
        title: the same for every one of its kind.
        meaning: what it means for who asked.
    """

    status: int
    title: str
    meaning: str


KINDS: Final = MappingProxyType(
    {
        "invalid": Kind(422, "The request is not as it must be", "Nothing was done; `detail` names the field."),
        "key-reused": Kind(
            422, "The Idempotency-Key is another command's", "Nothing was done. Take a new key for each thing that is wanted."
        ),
        "malformed": Kind(400, "The request cannot be read", "It is not JSON, or not HTTP as it must be."),
        "no-token": Kind(401, "A token is needed", "None was given, or one that is not known here."),
        "not-allowed": Kind(403, "This token may only look", "Sending commands needs the token of an operator."),
        "foreign-origin": Kind(403, "Pages of other sites may not do this", "See TIDINGS_ALLOWED_ORIGINS."),
        "not-found": Kind(404, "There is nothing here", "No such session, or no such path."),
        "wrong-method": Kind(405, "This cannot be done here", "`Allow` says what can."),
        "refused": Kind(
            409, "A controller refused the command", "Nothing changed; `reason` says why, `legal` what would be accepted."
        ),
        "no-length": Kind(411, "The length of the body is needed", "Send `Content-Length`."),
        "deleted": Kind(410, "The session was deleted", "Its name is not used again."),
        "too-large": Kind(413, "This is too large", "Keep large content elsewhere and send a reference."),
        "wrong-type": Kind(415, "The body must be JSON", "Send it with `Content-Type: application/json`."),
        "too-many": Kind(429, "Too many commands", "Come again after `Retry-After` seconds."),
        "broken": Kind(500, "Something broke inside", "The log of the gateway says what."),
        "unreadable": Kind(
            500, "The record of the session cannot be read", "`tidings doctor` names it; it can be exported and deleted."
        ),
        "unreachable": Kind(503, "Redis does not answer", "A command that got through expires by itself."),
        "full": Kind(503, "Too many streams are open", "Come again after `Retry-After` seconds."),
        "not-answered": Kind(504, "No controller answered in time", "The command was withdrawn: it will never be applied."),
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
            "detail": self.detail or kind.meaning,
            **self.more,
        }
        return Response(as_json(body), kind.status, self.headers, MEDIA_TYPE)


def later(word: str, seconds: float, detail: str = "") -> Problem:
    """Return a problem that will be none after so many seconds."""
    return Problem(word, detail, headers={"Retry-After": str(max(1, math.ceil(seconds)))})


def of_status(status: int, detail: str, headers: dict[str, str] | None = None) -> Problem:
    """Return the problem that stands for a status of HTTP."""
    word = _BY_STATUS.get(status, "malformed" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "broken")
    return Problem(word, detail, headers=headers)


def of_error(error: TidingsError) -> Problem:
    """Return the problem that an error of the bus is for who asked."""
    if isinstance(error, CommandRefused):
        state = error.state or None
        return Problem("refused", error.reason, command_id=error.command_id, reason=error.reason, state=state, legal=error.legal)
    if isinstance(error, KeyReused):
        return Problem("key-reused", session=error.session)
    if isinstance(error, CommandExpired):
        return Problem("not-answered", command_id=error.command_id)
    if isinstance(error, SessionDeleted):
        return Problem("deleted", session=error.session)
    if isinstance(error, UnreadableRecord):
        return Problem("unreadable")
    if isinstance(error, UnknownSession):
        return Problem("not-found", f"There is no session {error.session}.", session=error.session)
    if isinstance(error, PayloadTooLarge):
        return Problem("too-large", str(error))
    if isinstance(error, InvalidMessage):
        return Problem("invalid", str(error))
    if isinstance(error, AccessDenied):
        return Problem(
            "unreachable", "The user of the gateway may not do that on the server: see the role gateway in operations.md."
        )
    return later("unreachable", 1.0) if isinstance(error, Unreachable) else Problem("broken")
