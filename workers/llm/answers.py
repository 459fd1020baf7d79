"""What a model answered, whole or in pieces, read out of litellm's objects without importing litellm."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from pydantic import JsonValue, TypeAdapter

from tidings.bus.messages import Reason, new_id
from tidings.bus.messages.values import JsonObject
from tidings.bus.redaction import one_line
from tidings.workers.errors import BrokenAnswer, ErrorInAnswer
from tidings.workers.llm.finish import Finish, How, finish_of, held_back, read_finish
from tidings.workers.llm.received import Received
from tidings.workers.llm.usage import Tokens
from tidings.workers.retry.advice import BY_REASON

_WORD = 300
"""Characters of a provider's word for how its answer ended, and of what it says about it."""

_OBJECT: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(JsonObject)


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool that the model wants to use.

    Attributes:
        call_id: joins the request to its result; made up where the provider sent none.
        name: the tool.
        arguments: a JSON object that may travel as an event. ``{}`` where the model sent none; ``{"_raw":
            text}`` where it sent something that is no JSON object (models do), or one that the bus refuses
            (NaN, too deep): tell it so in the tool's result.
    """

    call_id: str
    name: str
    arguments: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Completion:
    """A complete answer.

    Attributes:
        text: what it says; empty where it only uses tools, or has nothing to say.
        tool_calls: the tools it wants used, in its order.
        finish_reason: in OpenAI's words: ``stop``, ``tool_calls``, ``length``, ``content_filter``, ...
        model: the model, as litellm was asked for it.
        prompt_tokens: as the provider counted; None where it did not say.
        completion_tokens: as the provider counted; None where it did not say.
        attempts: requests that it took.
        cut: why it ends too early, in the provider's word (``max_tokens``, ``SAFETY``, ...); None for a complete one. The
            call to a tool that was being made then is left out: nobody knows what it would have been.
    """

    text: str
    tool_calls: tuple[ToolRequest, ...]
    finish_reason: str
    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    attempts: int
    cut: str | None = None

    @property
    def tokens(self) -> Tokens:
        """What the provider reported."""
        return Tokens(self.prompt_tokens, self.completion_tokens)


@dataclass(frozen=True, slots=True)
class Delta:
    """A further piece of the text of an answer; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Restart:
    """The pieces so far are void: the stream broke, and the answer begins anew with what follows.

    Attributes:
        attempt: the attempt that what follows comes from.
    """

    attempt: int


def read_completion(response: Any, received: Received, *, model: str, attempts: int) -> Completion:
    """Read a plain answer.

    Args:
        response: what litellm made of it.
        received: what the provider sent.

    Raises:
        BrokenAnswer: it holds an error, or nothing that an agent can use: no text and no complete call to a tool.
    """
    choices = getattr(response, "choices", None)
    if not choices:
        raise unanswered(received) or BrokenAnswer("the provider answered without a choice", Reason.SERVER_ERROR)
    message = getattr(choices[0], "message", None)
    calls = getattr(message, "tool_calls", None) or ()
    tokens = read_tokens(getattr(response, "usage", None))
    completion = Completion(
        text=_text(getattr(message, "content", None)),
        tool_calls=tuple(_tool_request(call.id, call.function.name, call.function.arguments) for call in calls),
        finish_reason=_finished(getattr(choices[0], "finish_reason", None)),
        model=model,
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        attempts=attempts,
    )
    return _judged(completion, received)


def read_tokens(usage: Any) -> Tokens:
    """Read a usage report; litellm fills in 0 for what was not reported, and no prompt has 0 tokens."""
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if not prompt and not completion:
        return Tokens()
    return Tokens(prompt or None, completion or 0)


def stream_tokens(stream: Any) -> Tokens:
    """Read what the provider reported within a stream, also within one that broke off.

    Reports are cumulative, and some providers (Anthropic) tell the prompt at the beginning and the answer at
    the end, so the largest counts. The usage in litellm's closing chunk is not looked at: it is estimated
    where the provider reported nothing.
    """
    reports = [read_tokens(getattr(chunk, "usage", None)) for chunk in getattr(stream, "chunks", None) or ()]
    return Tokens(
        max((report.prompt for report in reports if report.prompt is not None), default=None),
        max((report.completion for report in reports if report.completion is not None), default=None),
    )


def broken_off() -> BrokenAnswer:
    """Make the error for a stream that ended before its answer."""
    return BrokenAnswer("the stream ended before the answer did", Reason.CONNECTION)


def ended_early(stream: Any, error: Exception) -> bool:
    """Whether litellm raised because a stream ended before its answer, as it does from 1.109 on."""
    return isinstance(error.__context__, StopAsyncIteration) and not _sent_finish_reason(stream)


class Assembly:
    """Puts an answer together from the chunks of a stream."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[_PartialCall] = []
        self._by_index: dict[int, _PartialCall] = {}
        self._finish_reason: str | None = None

    def add(self, chunk: Any) -> str:
        """Take a chunk in and return the text that it adds."""
        choices = getattr(chunk, "choices", None)
        if not choices:
            return ""
        self._finish_reason = getattr(choices[0], "finish_reason", None) or self._finish_reason
        delta = getattr(choices[0], "delta", None)
        for call in getattr(delta, "tool_calls", None) or ():
            self._add_call(call)
        text = _text(getattr(delta, "content", None))
        if text:
            self._texts.append(text)
        return text

    def completion(self, stream: Any, received: Received, *, model: str, attempts: int) -> Completion:
        """Return the answer, the stream being at its end.

        Raises:
            BrokenAnswer: the provider never said that it had finished: the connection was cut. Or as of `read_completion`.
        """
        sent = _sent_finish_reason(stream)
        if not sent:
            raise unanswered(received) or broken_off()
        tokens = stream_tokens(stream)
        completion = Completion(
            text="".join(self._texts),
            tool_calls=tuple(call.request() for call in self._calls),
            finish_reason=_finished(self._finish_reason or sent),
            model=model,
            prompt_tokens=tokens.prompt,
            completion_tokens=tokens.completion,
            attempts=attempts,
        )
        return _judged(completion, received)

    def _add_call(self, piece: Any) -> None:
        index, call_id = getattr(piece, "index", None) or 0, getattr(piece, "id", None)
        call = self._by_index.get(index)
        # Some providers give every call the index 0; a second id then begins a second call.
        if call is None or (call_id and call.call_id and call_id != call.call_id):
            call = self._by_index[index] = _PartialCall()
            self._calls.append(call)
        call.add(call_id, getattr(piece, "function", None))


class _PartialCall:
    def __init__(self) -> None:
        self.call_id: str | None = None
        self._name: str | None = None
        self._arguments: list[str] = []

    def add(self, call_id: str | None, function: Any) -> None:
        self.call_id = self.call_id or call_id
        self._name = self._name or getattr(function, "name", None)
        self._arguments.append(_text(getattr(function, "arguments", None)))

    def request(self) -> ToolRequest:
        return _tool_request(self.call_id, self._name, "".join(self._arguments))


def parse_arguments(value: object) -> dict[str, JsonValue]:
    """Read the arguments of a tool call, as `ToolRequest.arguments` promises; never raises."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    try:
        return _OBJECT.validate_python(json.loads(value, parse_constant=_refuse) if isinstance(value, str) else value)
    except (ValueError, RecursionError):
        return {"_raw": value if isinstance(value, str) else repr(value)}


def _sent_finish_reason(stream: Any) -> str | None:
    """Return what the provider sent. litellm before 1.109 ends a stream that was cut with a "stop" of its own."""
    return getattr(stream, "received_finish_reason", None) or getattr(stream, "intermittent_finish_reason", None)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _tool_request(call_id: object, name: object, arguments: object) -> ToolRequest:
    return ToolRequest(
        call_id=call_id if isinstance(call_id, str) and call_id else f"call_{new_id()}",
        name=name if isinstance(name, str) and name else "unnamed",
        arguments=parse_arguments(arguments),
    )


def _text(content: object) -> str:
    """Return text content, or the text parts of a list of parts."""
    if isinstance(content, list | tuple):
        return "".join(_parts(content))
    return content if isinstance(content, str) else ""


def _parts(content: list[Any] | tuple[Any, ...]) -> Iterator[str]:
    for part in content:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text


def _finished(reason: object) -> str:
    return reason if isinstance(reason, str) and reason else "stop"


def told_error(received: Received) -> BrokenAnswer | None:
    """Return the error that a provider told in a "200 OK"; None if it told none."""
    return None if received.status is None else _error(read_finish(received), received.status, received.headers)


def unanswered(received: Received) -> BrokenAnswer | None:
    """Say why there is no answer in what was received; None if it does not tell."""
    finish = read_finish(received)
    if received.status is not None and (error := _error(finish, received.status, received.headers)) is not None:
        return error
    finish = held_back(received) or finish
    return _nothing(finish) if finish.how is How.FILTERED else None


def _error(finish: Finish, status: int, headers: Mapping[str, str]) -> BrokenAnswer | None:
    """Make the error that a provider told in place of an answer; None if it told none."""
    if finish.error is not None:
        return ErrorInAnswer(status, headers, finish.error)
    return _broken(finish) if finish.how is How.BROKEN else None


def _broken(finish: Finish) -> BrokenAnswer:
    return BrokenAnswer(f"the provider broke off while generating (finish_reason {finish.word})", Reason.SERVER_ERROR)


def _judged(completion: Completion, received: Received) -> Completion:
    """Return an answer as far as it is one.

    Raises:
        BrokenAnswer: it is none.
    """
    finish = read_finish(received)
    if finish.error is not None and received.status is not None:
        raise ErrorInAnswer(received.status, received.headers, finish.error)
    if not finish.word:  # where there is nothing beneath litellm's answer, its own word has to do
        finish = finish_of(completion.finish_reason)
    if finish.how is How.BROKEN:
        raise _broken(finish)
    if finish.how is How.MALFORMED:
        raise _nothing(finish)
    says_nothing = not completion.text.strip()
    if finish.how is How.COMPLETE:
        if not says_nothing or completion.tool_calls:
            return completion
        raise _nothing(held_back(received) or finish)
    calls = completion.tool_calls[:-1]
    if says_nothing and not calls:
        raise _nothing(finish, of_call=bool(completion.tool_calls))
    finish_reason = "content_filter" if finish.how is How.FILTERED else "length"
    return replace(completion, tool_calls=calls, finish_reason=finish_reason, cut=one_line(finish.word, _WORD))


_REFUSED = BY_REASON[Reason.CONTENT_POLICY]
_MORE = "Raise max_tokens, ask for less, shorten the history or choose a model with a larger limit, then resume."
_OTHERWISE = "Resume to try again; if it happens again, say it in other words or choose another model."


def _nothing(finish: Finish, *, of_call: bool = False) -> BrokenAnswer:
    """Make the error for an answer in which there is nothing to use."""
    told = ": ".join(filter(None, (finish.word, finish.words))) or "no reason given"
    why = f"({one_line(told, _WORD)})"
    match finish.how:
        case How.FILTERED:
            return BrokenAnswer(f"the provider held the answer back {why}", Reason.CONTENT_POLICY, _REFUSED, tries=1)
        case How.CUT:
            where = "in the middle of a call to a tool" if of_call else "before it said anything"
            return BrokenAnswer(f"the answer was cut off {where} {why}", Reason.CONTEXT_WINDOW, _MORE, tries=1)
        case How.MALFORMED:
            text = f"the model called a tool in a form that its provider cannot read {why}"
        case _:
            text = f"the answer is empty: neither text nor a call to a tool {why}"
    return BrokenAnswer(text, Reason.SERVER_ERROR, _OTHERWISE, tries=2)
