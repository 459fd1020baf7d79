"""How an answer ended, by the provider's own word: complete, cut off, held back, broken off; or an error in its place.

Providers have some sixty words for it and add more, and litellm makes a "stop" of each that it does not know. So what a word is
made of decides, in whatever field stands for the reason. What has no such part (``stop``, ``end_turn``, a new word) is complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from tidings.workers.llm.received import Document, Received


class How(Enum):
    """How an answer ended."""

    COMPLETE = auto()
    FILTERED = auto()
    """A filter, a guardrail or the model itself held the rest back, or all of it."""
    CUT = auto()
    """A limit of tokens was reached."""
    PAUSED = auto()
    """The provider ends its turn before the model's: Anthropic, at tools of its own."""
    MALFORMED = auto()
    """The model made a call to a tool that the provider cannot read; the next time it may make another one."""
    BROKEN = auto()
    """The provider failed while it was generating."""


@dataclass(frozen=True, slots=True)
class Finish:
    """How an answer ended.

    Attributes:
        how: the kind of it.
        word: what the provider called it; empty where it said nothing.
        words: what it said about it, for people.
        error: what it sent in the place of an answer, as `tidings.workers.retry.answer` reads it; None for no error.
    """

    how: How
    word: str = ""
    words: str = ""
    error: object = None


# The first that fits: ERROR_TOXIC is a filter, ERROR_LIMIT a limit, and a word about the model's call says more than "error".
_KINDS: Final = (
    (
        How.FILTERED,
        r"filter|safety|refus|block|prohibit|guardrail|interven|toxic|sensitive|recitation|spii|polic|moderat|violat|unsafe|"
        r"language|escalat|image|^other$",
    ),
    (How.CUT, r"length|limit|max|context|compact|truncated|incomplete|time_?out"),
    (How.PAUSED, r"pause"),
    (How.MALFORMED, r"malformed|unexpected|invalid|missing|too_?many"),
    (How.BROKEN, r"error|fail|abort|cancel|insufficient|unavailable|exception"),
)
_WORDS: Final = tuple((how, re.compile(pattern, re.IGNORECASE)) for how, pattern in _KINDS)

_REASON: Final = re.compile(r"(?:native_)?(?:finish|stop|done|completion|end|block)_?reason|.*guardrail_?action", re.IGNORECASE)
_SPOKEN: Final = frozenset(
    {"content", "message", "parts", "tool_calls", "function", "input", "arguments", "text", "logprobs", "usage"}
)
"""What the model said may hold anything."""
_ANSWERS: Final = ("choices", "candidates", "content", "delta", "output", "generations", "results", "completion", "text")
_MESSAGES: Final = ("message", "msg", "detail", "error_msg", "error_message", "error_description")
_FLAG: Final = re.compile(r"filtered|blocked|(?:in|out)put_sensitive")
_EXPLAINED: Final = ("refusal", "finishMessage", "blockReasonMessage", "explanation")
_DEPTH: Final = 4
_LONGEST: Final = 300


def read_finish(received: Received) -> Finish:
    """Say how what was received ended, by its newest document that tells.

    A document that neither is part of an answer nor says why it ended, but has words for people, is an error if it is the last.
    """
    stray = None
    for number, document in enumerate(received.documents()):
        error = error_in(document)
        if error is not None:
            return Finish(How.BROKEN, error=error)
        if reasons := list(_reasons(document.body)):
            how, word = _kind(reasons)
            return Finish(how, word, _words(document.body))
        if number == 0 and not document.framed:
            stray = _stray(document.body)
    return Finish(How.COMPLETE) if stray is None else Finish(How.BROKEN, error=stray)


def finish_of(word: str) -> Finish:
    """Say how an answer ended of which only the word is known."""
    how, word = _kind([("finish_reason", word)])
    return Finish(how, word)


def held_back(received: Received) -> Finish | None:
    """Look in an answer that says nothing for why: words of a refusal, or the flag of a filter; None without one."""
    refusals = []
    flagged = False
    for document in received.documents():
        refusals.append("".join(_refusal(document.body)))
        flagged = flagged or _is_flagged(document.body)
    words = "".join(reversed(refusals))
    if words:
        return Finish(How.FILTERED, "refusal", words[:_LONGEST])
    return Finish(How.FILTERED, "content filter") if flagged else None


def error_in(document: Document) -> object:
    """Return the error that a document is or holds, as an error's body has it; None if there is none."""
    body = _first(document.body)
    if not isinstance(body, Mapping):
        return {"message": body} if document.event == "error" and isinstance(body, str) else None
    if _is_told(body.get("error")) or document.event == "error" or "error" in (body.get("object"), body.get("type")):
        return body
    for place in (_first(body.get("choices")), body.get("response"), body.get("data"), body.get("result")):
        if isinstance(place, Mapping) and _is_told(place.get("error")):
            return {"error": place["error"]}
    first = _first(body.get("errors"))
    if isinstance(first, Mapping):
        return {"error": first}
    return _minimax(body.get("base_resp"))


def _minimax(told: object) -> object:
    """Read MiniMax's status, which stands in every answer; its numbers are no HTTP statuses."""
    if not isinstance(told, Mapping) or not told.get("status_code"):
        return None
    words = str(told.get("status_msg"))[:_LONGEST]
    filtered = any(how is How.FILTERED and pattern.search(words) for how, pattern in _WORDS)  # "input new_sensitive"
    return {"message": f"{words} ({told['status_code']})"} | ({"code": "content_filter"} if filtered else {})


def _is_told(error: object) -> bool:
    """Whether an ``error`` is one; some servers send an empty one with every answer."""
    return any(error.values()) if isinstance(error, Mapping) else bool(error)


def _stray(body: object) -> object:
    """Return a document that has words for people and nothing of an answer; None for any other."""
    body = _first(body)
    if not isinstance(body, Mapping) or any(body.get(name) for name in _ANSWERS):
        return None
    told = any(isinstance(body.get(name), str) and body[name] for name in _MESSAGES)
    return body if told or body.get("detail") or body.get("success") is False else None


def _reasons(body: object, depth: int = _DEPTH) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the fields that say why an answer ended; of lists the first entry counts."""
    body = _first(body)
    if not isinstance(body, Mapping) or not depth:
        return
    for name, value in body.items():
        if isinstance(value, str):
            # vLLM's stop_reason is the text at which the caller wanted it to stop.
            if value and _REASON.fullmatch(str(name)) and not (name == "stop_reason" and "finish_reason" in body):
                yield str(name), value[:_LONGEST]
        elif name == "incomplete_details" and isinstance(value, Mapping):  # OpenAI's Responses
            yield name, str(value.get("reason") or name)[:_LONGEST]
        elif isinstance(value, Mapping | list) and name not in _SPOKEN:
            yield from _reasons(value, depth - 1)


def _kind(reasons: list[tuple[str, str]]) -> tuple[How, str]:
    for name, value in reasons:
        if name.lower().startswith("block"):
            return How.FILTERED, value
    for how, pattern in _WORDS:
        for _, value in reasons:
            if pattern.search(value):
                return how, value
    return How.COMPLETE, reasons[0][1]


def _words(body: object, depth: int = _DEPTH) -> str:
    """Return what is said to people about the reason."""
    body = _first(body)
    if not isinstance(body, Mapping) or not depth:
        return ""
    for name, value in body.items():
        if name in _EXPLAINED and isinstance(value, str) and value.strip():
            return value[:_LONGEST]
        if isinstance(value, Mapping | list) and name not in ("content", "tool_calls") and (words := _words(value, depth - 1)):
            return words
    return ""


def _refusal(body: object) -> Iterator[str]:
    """Yield the words with which a model of OpenAI's refuses, whole or in pieces."""
    choice = _first(body.get("choices")) if isinstance(body, Mapping) else None
    for name in ("message", "delta"):
        said = choice.get(name) if isinstance(choice, Mapping) else None
        if isinstance(said, Mapping) and isinstance(said.get("refusal"), str):
            yield said["refusal"]


def _is_flagged(body: object, depth: int = 2 * _DEPTH) -> bool:
    if isinstance(body, list):
        return depth > 0 and any(_is_flagged(part, depth - 1) for part in body)
    if not isinstance(body, Mapping) or not depth:
        return False
    flagged = any(value is True and _FLAG.fullmatch(str(name)) for name, value in body.items())
    return flagged or any(_is_flagged(value, depth - 1) for value in body.values())


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value
