"""The tree of errors."""

from __future__ import annotations

import asyncio
import inspect
import re

import pytest

from tidings.bus import errors

ALL = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.TidingsError)}


def _drawn() -> dict[str, str]:
    """The tree in the module's docstring: each error and the one above it."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"(?P<rails>[ │├└─]*)(?P<name>[A-Z][A-Za-z]+)(  .+)?$", line)
        if found is None or found["name"] not in ALL:
            continue
        depth = len(found["rails"]) // 4 - 1
        above[depth:] = [found["name"]]
        if depth:
            parents[found["name"]] = above[depth - 1]
    return parents


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every error is drawn, under the one that it derives from."""
    real = {name: kind.__mro__[1].__name__ for name, kind in ALL.items() if kind is not errors.TidingsError}
    assert _drawn() == real


@pytest.mark.parametrize("kind", ALL.values())
def test_every_error_says_in_a_sentence_what_happened(kind: type[errors.TidingsError]) -> None:
    """The first line of its docstring is a sentence."""
    assert (kind.__doc__ or "").splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("kind", "usual"),
    [
        (errors.BadAddress, ValueError),
        (errors.InvalidMessage, ValueError),
        (errors.Unreachable, ConnectionError),
        (errors.AccessDenied, PermissionError),
        (errors.UnknownSession, LookupError),
        (errors.CommandExpired, TimeoutError),
    ],
)
def test_errors_are_also_what_python_calls_them(kind: type[errors.TidingsError], usual: type[Exception]) -> None:
    """Code that knows nothing of Tidings catches them under their usual names."""
    assert issubclass(kind, usual)


def test_data_is_on_attributes_and_the_text_says_what_to_do() -> None:
    """A program reads the attributes, a person the text."""
    large = errors.PayloadTooLarge("agent.message", 300_000, 262_144)
    assert (large.size, large.limit) == (300_000, 262_144)
    assert "TIDINGS_PAYLOAD_LIMIT" in str(large)

    unknown = errors.UnknownSession("demo")
    assert unknown.session == "demo"
    assert "tidings start demo" in str(unknown)

    held = errors.SessionHeld("demo", "running")
    assert (held.session, held.state) == ("demo", "running")
    assert "running" in str(held)

    assert errors.LeaseLost("demo").session == "demo"
    assert "claim again" in str(errors.LeaseLost("demo"))

    assert errors.StaleDecision("demo").session == "demo"
    assert "read it again" in str(errors.StaleDecision("demo"))

    broken = errors.OutcomeUnknown(("m1", "m2"))
    assert broken.ids == ("m1", "m2")
    assert "m1, m2" in str(broken)

    reused = errors.IdempotencyConflict("demo")
    assert reused.session == "demo"
    assert "new key" in str(reused)

    expired = errors.CommandExpired("c1")
    assert expired.command_id == "c1"
    assert "tidings controller" in str(expired)


def test_a_refusal_says_why_and_what_would_be_legal() -> None:
    """The reason is the text; state and legal commands are there for whoever asks again."""
    refused = errors.CommandRefused("c1", "it has ended", "stopped", ("session.stop",))
    assert str(refused) == refused.reason == "it has ended"
    assert (refused.command_id, refused.state, refused.legal) == ("c1", "stopped", ("session.stop",))


@pytest.mark.parametrize("kind", [errors.BadAddress, errors.Unreachable, errors.AccessDenied])
def test_errors_of_the_connection_know_the_address(
    kind: type[errors.BadAddress | errors.Unreachable | errors.AccessDenied],
) -> None:
    """The address, without credentials, is an attribute; the text is the caller's."""
    error = kind("nothing answers", address="redis://127.0.0.1:1/0")
    assert (str(error), error.address) == ("nothing answers", "redis://127.0.0.1:1/0")
    assert kind("nothing answers").address == ""


def test_an_old_server_is_named_with_what_is_needed() -> None:
    """Found and needed version are attributes."""
    error = errors.UnsupportedServer("too old", address="redis://h", found="6.2", needed="7.0")
    assert (str(error), error.address, error.found, error.needed) == ("too old", "redis://h", "6.2", "7.0")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "TimeoutError"),
        (asyncio.CancelledError(), "CancelledError"),
        (errors.Closed(" \n"), "Closed"),
        (OSError("no room"), "OSError: no room"),
        (errors.LeaseLost("sea"), "LeaseLost: session 'sea' is no longer held by this worker: discard the work and claim again"),
    ],
)
def test_a_cause_is_never_empty(error: BaseException, said: str) -> None:
    """Many errors of Python have no text of their own; their kind says what they are."""
    assert errors.cause_of(error) == said


def test_a_cause_says_what_was_cleaned_of_secrets() -> None:
    """Who has taken the secrets out of a text hands that over in its place."""
    assert errors.cause_of(ValueError("sk-secret"), "[redacted]") == "ValueError: [redacted]"
    assert errors.cause_of(ValueError("sk-secret"), "") == "ValueError"
