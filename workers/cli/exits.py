"""How a command ends: the exit codes, and what a person reads when something goes wrong."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import NoReturn

import typer

from tidings.workers.cli.output import complain
from tidings.workers.settings import BadSetting

log = logging.getLogger("tidings.cli")


class Exit(IntEnum):
    """The exit codes; scripts rely on them."""

    DONE = 0
    """Applied, reached, shown."""
    FAILED = 1
    """The server cannot be reached, or something broke inside."""
    USAGE = 2
    """The command line or a setting is wrong; nothing was done."""
    REFUSED = 3
    """A controller refused it, there is no such session, or what was waited for will not come."""
    NO_ANSWER = 4
    """No controller answered in time; what was asked will not be done later."""
    BLOCKED = 5
    """An agent's code has blocked the event loop of a worker for too long; a supervisor starts another."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
    BROKEN_PIPE = 141
    """The reader of the output has gone; the code that shells give for it."""


class CommandFailed(Exception):
    """A command cannot do what it was asked for; the text says why and what to do, in one line.

    Attributes:
        code: how the command ends.
    """

    def __init__(self, text: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(text)
        self.code = code


class BadUsage(CommandFailed):
    """The command was not asked for as it can be had; the text says what to write."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Exit.USAGE)


def guarded(call: Callable[[], int]) -> int:
    """Run a command and return its exit code in every case: one clear line, never a traceback unasked."""
    try:
        code = call()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()
        return Exit.BROKEN_PIPE
    except typer.Exit:
        raise
    except CommandFailed as problem:
        complain(str(problem))
        return problem.code
    except BadSetting as problem:
        complain(str(problem))
        return Exit.USAGE
    except Exception as error:
        return _failed(error)
    return code


def end_blocked() -> NoReturn:
    """End a process after its event loop was blocked for too long."""
    end_at_once(Exit.BLOCKED)


def end_at_once(code: int) -> NoReturn:
    """End the process from wherever we are, also from another thread: nothing of it can be waited for."""
    logging.shutdown()
    os._exit(code)


def _failed(error: Exception) -> Exit:
    # Imported here: a command that has not needed the bus so far does not need it to say so.
    from tidings.bus.errors import (
        BadAddress,
        CommandExpired,
        CommandRefused,
        IdempotencyConflict,
        InvalidMessage,
        SessionExists,
        TidingsError,
        UnknownSession,
        cause_of,
    )

    if not isinstance(error, TidingsError):
        complain(f"something broke inside: {cause_of(error)}; --log-level debug shows where")
        log.debug("cli.failed", exc_info=error)
        return Exit.FAILED
    complain(str(error))
    if isinstance(error, BadAddress | InvalidMessage):
        return Exit.USAGE
    if isinstance(error, UnknownSession | CommandRefused | IdempotencyConflict | SessionExists):
        return Exit.REFUSED
    return Exit.NO_ANSWER if isinstance(error, CommandExpired) else Exit.FAILED


def _discard_stdout() -> None:
    """Let Python's last flush go nowhere, or it would complain about the pipe once more."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
