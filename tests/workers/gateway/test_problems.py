"""Errors as problem details."""

from __future__ import annotations

import json

import pytest

from bus import (
    AccessDenied,
    CommandExpired,
    CommandRefused,
    InvalidName,
    KeyReused,
    PayloadTooLarge,
    SessionDeleted,
    TidingsError,
    UnknownSession,
    Unreachable,
    UnreadableRecord,
)
from workers.gateway.problems import KINDS, Problem, of_error, of_status


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (CommandRefused("id", "why", "paused", ("session.resume",)), "refused"),
        (CommandRefused("id", "full", "", ()), "refused"),
        (CommandExpired("id"), "not-answered"),
        (KeyReused("sea"), "key-reused"),
        (UnknownSession("sea"), "not-found"),
        (SessionDeleted("sea"), "deleted"),
        (UnreadableRecord("sea", "version: ValueError"), "unreadable"),
        (PayloadTooLarge("session.say", 2, 1), "too-large"),
        (InvalidName("no"), "invalid"),
        (AccessDenied("no"), "unreachable"),
        (Unreachable("away"), "unreachable"),
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


def test_a_problem_says_itself() -> None:
    """As an exception it reads like its answer."""
    assert str(Problem("refused")) == KINDS["refused"].title
    assert str(Problem("refused", "because")) == "because"
