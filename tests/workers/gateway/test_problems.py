"""Errors as problem details."""

from __future__ import annotations

import json

import pytest

from tidings.bus import (
    AccessDenied,
    CommandExpired,
    CommandRefused,
    IdempotencyConflict,
    InvalidName,
    PayloadTooLarge,
    ServerFull,
    SessionDeleted,
    TidingsError,
    UnknownSession,
    Unreachable,
    UnreadableRecord,
)
from tidings.workers.gateway.problems import KINDS, Kind, Problem, later, of_error, of_status


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (CommandRefused("id", "why", "paused", ("session.resume",)), "refused"),
        (CommandRefused("id", "full", "", ()), "refused"),
        (CommandExpired("id"), "not-answered"),
        (IdempotencyConflict("sea"), "key-reused"),
        (UnknownSession("sea"), "not-found"),
        (SessionDeleted("sea"), "deleted"),
        (UnreadableRecord("sea", "version: ValueError"), "unreadable"),
        (PayloadTooLarge("session.say", 2, 1), "too-large"),
        (InvalidName("no"), "invalid"),
        (AccessDenied("no"), "unreachable"),
        (Unreachable("away"), "unreachable"),
        (ServerFull("full"), "no-room"),
        (TidingsError("new"), "broken"),
    ],
)
def test_every_error_of_the_bus_is_a_problem(error: TidingsError, word: str) -> None:
    """Of a fixed kind, with the members of RFC 9457."""
    answer = of_error(error).response()
    body = json.loads(bytes(answer.body))
    assert (body["type"], body["title"], body["status"]) == (f"/api#{word}", KINDS[word].title, answer.status_code)
    assert answer.media_type == "application/problem+json"
    assert body["detail"]


@pytest.mark.parametrize(("status", "word"), [(404, "not-found"), (405, "wrong-method"), (418, "malformed"), (502, "broken")])
def test_every_status_of_http_is_a_problem(status: int, word: str) -> None:
    """Those without a kind of their own too."""
    assert of_status(status, "").word == word


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_a_person_reads_is_a_sentence(kind: Kind) -> None:
    """Without the names and the marks of programs; those stand in the hint."""
    assert kind.detail[0].isupper()
    assert kind.detail.endswith(".")
    assert not {"`", "Retry-After", "detail", "Content-"} & set(kind.detail.replace("`", " ` ").split())


def test_how_long_to_wait_is_said_in_the_sentence_too() -> None:
    """A person reads no headers; what has begun counts as a second."""
    problem = later("too-many", 3.2, "Try again in {wait} s.")
    assert (problem.detail, problem.headers["Retry-After"]) == ("Try again in 4 s.", "4")
    assert later("too-many", 0.0).headers["Retry-After"] == "1"


def test_a_problem_says_itself() -> None:
    """As an exception it reads like its answer."""
    assert str(Problem("refused")) == KINDS["refused"].title
    assert str(Problem("refused", "because")) == "because"
