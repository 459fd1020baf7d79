from __future__ import annotations

import asyncio
import ssl
import traceback
from collections.abc import Iterator

import pytest
from redis import exceptions as lower

from tests.conftest import MakeServer
from tidings.bus.errors import (
    AccessDenied,
    BadAddress,
    CommandExpired,
    LoginRefused,
    NotPrimary,
    ServerFull,
    TidingsError,
    UnexpectedReply,
    Unreachable,
    UnsupportedServer,
)
from tidings.bus.redis.address import Address
from tidings.bus.redis.failures import Failures, errors

HERE = Address.parse("redis://planted-user:planted-word@host:1/2")
OPEN = Address.parse("redis://host:1/2")


def fail_with(error: BaseException, address: Address = HERE) -> BaseException:
    """Return what comes out when `error` is raised in the context."""
    with pytest.raises(BaseException) as caught, Failures(address):  # noqa: PT011  the type is the test's matter
        raise error
    return caught.value


def made_from(cause: OSError) -> lower.ConnectionError:
    """Return the error that redis-py makes from one of the operating system."""
    try:
        try:
            raise cause
        except OSError as error:
            raise lower.ConnectionError(f"Error {error.args[0]} connecting to host:1.")  # noqa: B904  as redis-py does
    except lower.ConnectionError as error:
        return error


def wrapped(cause: Exception) -> lower.ConnectionError:
    """Return the error in which redis-py hides what went wrong in a greeting."""
    error = lower.ConnectionError(cause)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "ours", "says"),
    [
        (lower.AuthenticationError("invalid username-password pair"), AccessDenied, "correct them in the address"),
        (wrapped(lower.AuthenticationError("invalid password")), AccessDenied, "invalid password"),
        (lower.AuthenticationWrongNumberOfArgsError("wrong number"), AccessDenied, "correct them in the address"),
        (lower.AuthorizationError("no"), AccessDenied, "ACL SETUSER"),
        (lower.NoPermissionError("no permissions to run 'get'"), AccessDenied, "no permissions to run 'get'"),
        (lower.ResponseError("ACL failure in script: no"), AccessDenied, "ACL SETUSER"),
        (lower.ResponseError("The user executing the script can't run this"), AccessDenied, "ACL SETUSER"),
        (lower.ConnectionError("Connection closed by server."), Unreachable, "Connection closed by server."),
        (lower.ConnectionError(), Unreachable, "ConnectionError"),
        (lower.TimeoutError("Timeout reading from host:1"), Unreachable, "Timeout reading"),
        (lower.MaxConnectionsError("Too many connections"), Unreachable, "Too many connections"),
        (lower.BusyLoadingError("loading"), Unreachable, "still loading"),
        (lower.InvalidResponse('got "H"'), Unreachable, "not as a Redis server does"),
        (lower.OutOfMemoryError("command not allowed"), ServerFull, "the server is full"),
        (lower.ReadOnlyError("a read only replica"), NotPrimary, "a read only replica"),
        (lower.MasterDownError("RedisContext with MASTER is down"), NotPrimary, "RedisContext with MASTER is down"),
        (lower.ResponseError("NOREPLICAS Not enough good replicas"), NotPrimary, "Not enough good replicas"),
        (lower.ClusterDownError("Hash slot not served"), Unreachable, "Hash slot not served"),
        (lower.TryAgainError("Multiple keys"), Unreachable, "Multiple keys"),
        (lower.ResponseError("MISCONF Errors writing to the AOF"), Unreachable, "Errors writing"),
        (lower.ResponseError("BUSY Redis is busy running a script"), Unreachable, "busy running"),
        (lower.ResponseError("Error running script: Script killed by user with SCRIPT KILL"), Unreachable, "killed by user"),
        (lower.ResponseError("DENIED Redis is running in protected mode"), AccessDenied, "protected mode"),
        (lower.ResponseError("WRONGTYPE Operation against a key"), UnexpectedReply, "WRONGTYPE"),
        (lower.ExecAbortError("Transaction discarded"), UnexpectedReply, "Transaction discarded"),
        (lower.NoScriptError("no matching script"), UnexpectedReply, "no matching script"),
        (lower.MovedError("866 127.0.0.1:7001"), UnexpectedReply, "127.0.0.1:7001"),
        (
            lower.ResponseError("user_script:7: attempt to index a nil value, on @user_script:7."),
            UnexpectedReply,
            "attempt to index",
        ),
        (lower.DataError("invalid input"), UnexpectedReply, "invalid input"),
        (lower.RedisError(), UnexpectedReply, "RedisError"),
        (
            made_from(ConnectionRefusedError(111, "refused")),
            Unreachable,
            "nothing listens at redis://host:1/2",
        ),
        (made_from(FileNotFoundError(2, "none")), Unreachable, "nothing listens"),
        (made_from(OSError(113, "no route")), Unreachable, "cannot be reached"),
        (made_from(ssl.SSLError(1, "[SSL] record layer failure")), Unreachable, "does not speak TLS with us"),
        (BrokenPipeError(32, "Broken pipe"), Unreachable, "Broken pipe"),
        (TimeoutError("too slow"), Unreachable, "too slow"),
        (lower.ResponseError("unknown command 'HELLO'"), UnsupportedServer, "needs Redis 7.0"),
    ],
)
def test_lower_errors_become_ours(error: Exception, ours: type[TidingsError], says: str) -> None:
    """Each has one of our types, the address on it and in its text, what went wrong, and its cause."""
    result = fail_with(error)
    assert type(result) is ours
    assert getattr(result, "address") == "redis://host:1/2"  # noqa: B009  not every error has one
    assert "redis://host:1/2" in str(result)
    assert says in str(result)
    assert result.__cause__ is error


def _all_of_redis_py(kind: type[Exception] = lower.RedisError) -> Iterator[type[Exception]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all_of_redis_py(below)


@pytest.mark.parametrize("greeted", [False, True])
def test_no_error_of_redis_py_comes_out(greeted: bool) -> None:
    """Whatever class it has, and whatever the server said: callers know errors of ours alone."""
    for kind in set(_all_of_redis_py()):
        error = kind.__new__(kind, "some words")
        ours = Failures(HERE, greeted=greeted).translate(error)
        assert isinstance(ours, TidingsError), kind


@pytest.mark.parametrize(
    "error",
    [
        lower.AuthenticationError("invalid username-password pair"),
        lower.ResponseError("DENIED Redis is running in protected mode"),
    ],
)
def test_a_password_that_was_taken_before_and_is_refused_now_is_an_absence(error: Exception) -> None:
    """It may be in the midst of being changed; the text says what to mend if it is not."""
    with pytest.raises(LoginRefused, match="correct them in the address; it is tried again"), Failures(HERE, greeted=True):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a mistake"),
        asyncio.CancelledError(),
        CommandExpired("some-id"),
        Unreachable("told already"),
    ],
)
def test_mistakes_cancellation_and_our_own_errors_pass_unchanged(error: BaseException) -> None:
    """What the connection is not to blame for comes out as it went in."""
    assert fail_with(error) is error


def test_without_credentials_the_advice_is_where_to_put_them() -> None:
    """Whoever gave no password is told how; whoever gave a wrong one is told to correct it."""
    asked = lower.AuthenticationError("HELLO must be called with the client already authenticated")
    assert "put the user name and the password into the address, before the host" in str(fail_with(asked, OPEN))
    assert "correct" in str(fail_with(lower.AuthenticationError("invalid"), HERE))


def secrets_of(error: BaseException) -> Iterator[str]:
    """Yield all that could be printed of an error."""
    seen: BaseException | None = error
    yield "".join(traceback.format_exception(error))
    while seen is not None:
        yield f"{seen} {seen!r} {seen.args!r} {vars(seen)!r}"
        seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize(
    "error",
    [
        lower.AuthenticationError("the password planted-word is wrong for planted-user"),
        lower.ConnectionError("cannot greet planted-user"),
        made_from(OSError(5, "planted-word")),
        wrapped(lower.AuthenticationError("planted-word")),
        lower.ResponseError("unknown command `HELLO`, with args beginning with: `3` `AUTH` `x` `planted-word`"),
    ],
)
def test_a_server_that_quotes_our_password_does_not_get_it_printed(error: Exception) -> None:
    """What lower errors tell of our credentials is cut out, also from causes, contexts and tracebacks."""
    result = fail_with(error)
    assert isinstance(result, TidingsError)
    for shown in secrets_of(result):
        assert "planted" not in shown


def test_texts_of_a_stranger_are_one_short_printable_line() -> None:
    """Control characters and length of a server's text do not reach the terminal."""
    text = str(fail_with(lower.ConnectionError("\x1b[31m red\r\n" + "x" * 10_000)))
    assert text.isprintable()
    assert len(text) < 500
    assert text.endswith("…")


def test_an_error_that_the_caller_was_handling_is_not_taken_for_the_cause() -> None:
    """A command that is sent while another failure is handled fails for its own reason."""
    try:
        raise FileNotFoundError(2, "another matter")
    except FileNotFoundError:
        result = fail_with(lower.ConnectionError("Connection closed by server."), OPEN)
    assert "Connection closed" in str(result)


def test_a_context_is_made_from_an_address_or_its_text() -> None:
    """`errors` reads text once, and refuses what is no address."""
    assert errors(OPEN).address is OPEN
    assert errors("redis://host:1/2") is errors("redis://host:1/2")
    assert repr(errors("redis://me:planted-word@host")) == "<Failures of redis://host:6379/0>"
    with pytest.raises(BadAddress):
        errors("nowhere")


async def test_rights_that_a_script_lacks_are_told_as_such(make_server: MakeServer) -> None:
    """A real server's refusal inside a script is AccessDenied, like one outside."""
    from tidings.bus.redis.connection import open_connection

    server = make_server(acl=["reader on >planted-word ~* &* +@all -set"])
    async with open_connection(f"redis://reader:planted-word@127.0.0.1:{server.port}/0") as connection:
        with pytest.raises(AccessDenied), connection.errors:
            await connection.commands.set("a", "b")
        with pytest.raises(AccessDenied), connection.errors:
            await connection.commands.eval("return redis.call('set', 'a', 'b')", 0)
