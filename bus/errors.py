"""Every error that the bus raises, in one tree.

    TidingsError
    ├── BadAddress            the address of the server cannot be used as written
    ├── Unreachable           nothing answered, the connection was lost, or the server cannot serve us now: try again later
    │   ├── LoginRefused      the server refuses our name or password, and has taken them before
    │   ├── NotPrimary        the server that answers takes no writes; another one may stand behind the address by now
    │   ├── ServerFull        the server has no memory left for what was to be stored; nothing was written
    │   └── UnexpectedKey     a key that all sessions share holds another type of value; nothing works until it is taken away
    ├── AccessDenied          the server answered, and refused our name, password or rights
    ├── UnexpectedReply       the server answered with an error that belongs to none of the others
    ├── UnsupportedServer     the server is too old
    ├── InvalidMessage        the content cannot be put on the wire, or what came from it cannot be read
    │   ├── InvalidName       a session id or a channel is not written as the rules say
    │   ├── UnreadableRecord  the record of a session cannot be read; it can still be exported, and deleted by force
    │   │   ├── SchemaMismatch  it was written by another version of Tidings
    │   │   └── SpoiledLog    its events log holds what the record does not know of; nothing can be appended
    │   ├── BadArchive        an export cannot be read, or is too large to be restored
    │   └── PayloadTooLarge   the message is over the payload limit
    ├── UnknownSession        there is no such session
    │   └── SessionDeleted    there was one, and it was deleted; its name is not used again
    ├── SessionExists         a session of that name is there already
    ├── SessionHeld           another worker holds the session, or its state does not let it be claimed
    ├── LeaseLost             the write carried an old fencing token: the session was taken from its holder
    ├── StaleDecision         the session changed since it was read; read it again
    ├── OutcomeUnknown        the connection broke while a write was under way; the same id may be sent again
    ├── CommandRefused        a controller refused the command, and says what would be legal
    ├── CommandExpired        no controller handled the command in time; it never will be applied
    ├── IdempotencyConflict   another command was sent to the session under the same key
    └── Closed                the bus or the subscription was closed by us

Lower errors (redis-py, the operating system) are mapped in ``tidings.bus.redis.failures``, all of them, and nowhere else. Data is
on attributes; the text says what to do. No text ever holds credentials.
"""

from __future__ import annotations

TAKE_AWAY = (
    "something else wrote it; rename it or take it away (redis-cli: RENAME, DEL), "
    "or give Tidings a prefix of its own (TIDINGS_PREFIX)"
)
"""What to do about a key of ours that holds another type of value."""


class TidingsError(Exception):
    """Any error of the bus."""


class BadAddress(TidingsError, ValueError):
    """The address of the server cannot be used as written."""

    def __init__(self, message: str, *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class Unreachable(TidingsError, ConnectionError):
    """Nothing answered at the address, the connection was lost, or the server that answered cannot serve us now.

    It is an absence, and ends by itself or by a person's hand: what outlives an outage outlives this.
    """

    def __init__(self, message: str, *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class LoginRefused(Unreachable):
    """The server refuses our name or password now, and has taken them before: they may just be being changed."""


class NotPrimary(Unreachable):
    """The server that answers takes no writes; after a failover another one may stand behind the address by now."""


class ServerFull(Unreachable):
    """The server has no memory left (``maxmemory``) for what was to be stored; nothing was written."""


class UnexpectedKey(Unreachable):
    """A key that all sessions share holds another type of value: something else wrote it.

    A kind of absence: nothing works until a person takes the key away, processes outlast it, and what was to be written was not.

    Attributes:
        key: its name.
        found: what it is, as the server's TYPE calls it.
    """

    def __init__(self, key: str, found: str, kind: str, *, address: str = "") -> None:
        super().__init__(f"the key {key} is a {found} and not a {kind}: {TAKE_AWAY}", address=address)
        self.key = key
        self.found = found


class AccessDenied(TidingsError, PermissionError):
    """The server refused our name, our password or what we wanted to do."""

    def __init__(self, message: str, *, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class UnexpectedReply(TidingsError):
    """The server answered with an error that belongs to none of the others.

    There is a key of another type where one of ours belongs, or it does not know a command.

    Attributes:
        address: where the server is.
        reply: its words, without secrets, on one line, bounded.
    """

    def __init__(self, message: str, *, address: str = "", reply: str = "") -> None:
        super().__init__(message)
        self.address = address
        self.reply = reply


class UnsupportedServer(TidingsError):
    """The server is older than what the scripts need."""

    def __init__(self, message: str, *, address: str = "", found: str = "", needed: str = "") -> None:
        super().__init__(message)
        self.address = address
        self.found = found
        self.needed = needed


class InvalidMessage(TidingsError, ValueError):
    """The content cannot be put on the wire, or what came from the wire cannot be read."""


class InvalidName(InvalidMessage):
    """A session id or a channel is not written as the rules say."""


class UnreadableRecord(InvalidMessage):
    """The record of a session cannot be read.

    Attributes:
        session: its id.
        cause: which field or key, and what is wrong with it.
        advice: what to do, where it is something else than to export and delete the session.
    """

    advice: str = ""

    def __init__(self, session: str, cause: str, advice: str = "") -> None:
        usual = f"`tidings export {session}` keeps its history, `tidings delete --force {session}` takes it away"
        what = f"session {session!r}" if advice else f"the record of session {session!r}"
        super().__init__(f"{what} cannot be read: {cause}; {advice or usual}")
        self.session = session
        self.cause = cause
        self.advice = advice


def unreadable(session: str, cause: str) -> str:
    """Say why a session takes no command that cannot be read or written, and what to do."""
    return (
        f"unreadable: {cause}; `tidings doctor` says more, `tidings export {session}` keeps its history, "
        f"`tidings delete --force {session}` takes it away"
    )


class SchemaMismatch(UnreadableRecord):
    """The record of a session was written with another schema, by another version of Tidings; nothing of it is touched.

    Attributes:
        schema: the number that the record says.
    """

    def __init__(self, session: str, schema: int) -> None:
        cause = f"it was written with schema {schema} by another version of Tidings"
        InvalidMessage.__init__(
            self,
            f"session {session!r} cannot be used: {cause}; run `tidings export {session}` with that version, "
            "and `tidings import` the file with this one under another name, or into an empty Redis",
        )
        self.session = session
        self.cause = cause
        self.schema = schema


class SpoiledLog(UnreadableRecord):
    """Something else wrote into the events log of a session, beyond what its record counts; nothing was appended."""

    def __init__(self, session: str) -> None:
        cause = "its events log does not fit its record"
        InvalidMessage.__init__(
            self,
            f"nothing can be appended to session {session!r}: something else wrote into its events log; "
            f"`tidings export {session}` keeps its history, `tidings import FILE --as NAME` goes on with it, "
            f"`tidings delete --force {session}` takes it away",
        )
        self.session = session
        self.cause = cause


class BadArchive(InvalidMessage):
    """An export cannot be restored; nothing of that session was.

    Attributes:
        line: the line of the file at which that was seen, 1 for the first; None where it is not about a line.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line


class PayloadTooLarge(InvalidMessage):
    """The encoded message is over the payload limit.

    Attributes:
        size: bytes that the message takes.
        limit: bytes that are allowed.
    """

    def __init__(self, kind: str, size: int, limit: int) -> None:
        super().__init__(
            f"{kind} takes {size} bytes and the limit is {limit}: "
            "keep large content elsewhere and send a reference to it, or raise TIDINGS_PAYLOAD_LIMIT everywhere"
        )
        self.size = size
        self.limit = limit


class UnknownSession(TidingsError, LookupError):
    """There is no session of that name.

    Args:
        start: whether to start it is the advice; it does not help to export or delete one.
    """

    def __init__(self, session: str, *, start: bool = True) -> None:
        advice = f": start it first (tidings start {session} --message ...)" if start else ""
        super().__init__(f"there is no session {session!r}{advice}")
        self.session = session


class SessionDeleted(UnknownSession):
    """There was a session of that name, and it was deleted."""

    def __init__(self, session: str) -> None:
        TidingsError.__init__(self, f"session {session!r} was deleted, and its name is not used again: take another name")
        self.session = session


class SessionExists(TidingsError):
    """A session of that name is there already."""

    def __init__(self, session: str) -> None:
        super().__init__(f"session {session!r} exists already, and stays as it is: take another name")
        self.session = session


class SessionHeld(TidingsError):
    """The session cannot be claimed now: another worker holds it, or its state does not want a worker."""

    def __init__(self, session: str, state: str) -> None:
        over = state in ("stopped", "finished")
        what = f"is {state}, and that is final: take another name" if over else f"cannot be claimed while it is {state}"
        super().__init__(f"session {session!r} {what}")
        self.session = session
        self.state = state


class LeaseLost(TidingsError):
    """The write carried an old fencing token: the session was paused, stopped, or given to another worker.

    Attributes:
        why: what became of it, as part of a sentence; '' where that is not known.
        state: state of the session (`tidings.bus.State`), None where that is not known or it is gone.
    """

    def __init__(self, session: str, why: str = "", state: str | None = None) -> None:
        told = f" ({why})" if why else ""
        super().__init__(f"session {session!r} is no longer held by this worker{told}: discard the work and claim again")
        self.session, self.why, self.state = session, why, state


class StaleDecision(TidingsError):
    """The session changed between reading and deciding; nothing was written."""

    def __init__(self, session: str) -> None:
        super().__init__(f"session {session!r} changed while it was being decided: read it again")
        self.session = session


class OutcomeUnknown(TidingsError):
    """The connection broke during a write; it may or may not have been applied.

    Sending the same messages again, with the same ids, stores one copy.

    Attributes:
        ids: ids of the messages in question.
    """

    def __init__(self, ids: tuple[str, ...]) -> None:
        super().__init__(
            f"the connection broke and it is not known whether {', '.join(ids)} was stored: "
            "send it again with the same id, one copy will be kept"
        )
        self.ids = ids


class CommandRefused(TidingsError):
    """A controller refused the command; nothing changed.

    Attributes:
        command_id: id of the command.
        reason: why, for a person.
        state: state of the session when it was refused.
        legal: names of the commands that would have been accepted.
    """

    def __init__(self, command_id: str, reason: str, state: str, legal: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.command_id = command_id
        self.reason = reason
        self.state = state
        self.legal = legal


class CommandExpired(TidingsError, TimeoutError):
    """No controller answered the command in time. It was withdrawn: it will never be applied."""

    def __init__(self, command_id: str) -> None:
        super().__init__(
            "no controller answered in time, and the command was withdrawn: is a `tidings controller` running on this Redis?"
        )
        self.command_id = command_id


class IdempotencyConflict(TidingsError):
    """Another command was sent to the session under the same key; this one was not stored.

    Attributes:
        session: the session that both were for.
    """

    def __init__(self, session: str) -> None:
        super().__init__(f"another command was sent to session {session!r} under this key: take a new key for each command")
        self.session = session


class Closed(TidingsError):
    """The bus or the subscription was closed."""


def cause_of(error: BaseException, text: str | None = None) -> str:
    """Say in words what went wrong: the kind of an error and its text. Never empty, as ``str(TimeoutError())`` is.

    Args:
        text: its text where that has been cleaned of secrets; otherwise what the error says.
    """
    kind, said = type(error).__name__, (str(error) if text is None else text).strip()
    return f"{kind}: {said}" if said else kind
