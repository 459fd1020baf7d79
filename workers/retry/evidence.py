"""Find in an exception and its causes what really went wrong, without importing the library that raised it.

litellm hides the provider's answer behind exceptions of its own, and its classes mislead: a refused
connection, an answer that is no JSON and a missing API key are all `InternalServerError` 500, Anthropic's
529 becomes a 500, a 413 becomes a 429. What it wraps is still there, along `__cause__` and `__context__`:
the SDK's or the HTTP client's own error with the real status, headers and body. So the nearest error that
is not litellm's decides; litellm's own words and status count only where there is nothing else.

An error of Python's own in that place (`KeyError`, `TypeError`) is a defect in some code, unless litellm could not read the
answer: `reading` tells.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tidings.bus.messages import Reason
from tidings.workers.retry.answer import TEXT_LIMIT, Answer, read_answer
from tidings.workers.retry.broken_read import LIBRARIES, broke_reading

_DEPTH: Final = 16

_TIMEOUTS: Final = frozenset({"APITimeoutError", "TimeoutError", "TimeoutException"})
_CONNECTIONS: Final = frozenset(
    {
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectionError",
        "IncompleteReadError",
        "NetworkError",
        "ProxyError",
        "RemoteProtocolError",
        "SSLError",
        "gaierror",
    }
)
_UNSENDABLE: Final = frozenset({"InvalidURL", "LocalProtocolError", "UnsupportedProtocol"})
_UNREADABLE: Final = frozenset({"DecodingError", "JSONDecodeError"})
_WRAPPER_KINDS: Final = {
    "APITimeoutError": Reason.TIMEOUT,  # litellm.Timeout is one
    "BudgetExceededError": Reason.QUOTA_EXHAUSTED,
    "ContentPolicyViolationError": Reason.CONTENT_POLICY,
    "ContextWindowExceededError": Reason.CONTEXT_WINDOW,
}
_NETWORK_ERRNOS: Final = frozenset({errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH})


@dataclass(slots=True)
class Evidence:
    """What an exception and its causes say, from the outside in."""

    answer: Answer | None = None
    """The provider's answer, if there was one."""
    transport: Reason | None = None
    """Why no answer could be had or read, if the nearest error that knows says so."""
    culprit: BaseException | None = None
    """That error; without a `transport` it is a plain error of Python: a defect in some code."""
    wrapper_status: int | None = None
    """The status that litellm made up or passed on; the innermost one, which it has changed least."""
    wrapper_headers: object = None
    wrapper_kind: Reason | None = None
    """What the class of litellm's error says, for the few classes that do not mislead."""
    guess: Reason | None = None
    """What to assume where nothing else tells."""
    unreadable: bool = False
    """Whether the `culprit` is an answer that litellm could not read."""
    texts: list[str] = field(default_factory=list)
    """What the libraries said, and what is beneath them, from the outside in."""


def gather(error: BaseException) -> Evidence:
    """Walk from an exception to its causes until one of them knows what happened; never raises."""
    evidence = Evidence()
    in_library = False
    for link in causes(error):
        in_library = in_library or _is_library(link)
        if in_library:
            evidence.texts.append(text_of(link))
        _add(evidence, link)
        if evidence.answer or evidence.transport:
            break
    return evidence


def text_of(error: BaseException) -> str:
    """Give an exception's text, or "" if it cannot even be turned into text."""
    try:
        return str(error)[: TEXT_LIMIT * 4]
    except Exception:
        return ""


def is_cancellation(error: BaseException) -> bool:
    """Whether the call was cancelled, which is no failure to retry."""
    return isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception | BaseExceptionGroup)


def _add(evidence: Evidence, link: BaseException) -> None:
    """Note what one exception contributes."""
    names = _names(link)
    if _is_wrapper(link, names):
        _add_wrapper(evidence, link, names)
        return
    evidence.answer = _answer(link, names)
    if evidence.answer:
        return
    evidence.transport = _transport(link, names)
    if evidence.transport:
        evidence.culprit = link
    elif _is_defect(link):
        evidence.culprit = link
        evidence.transport = broke_reading(link)
        evidence.unreadable = evidence.transport is Reason.SERVER_ERROR
    elif "APIConnectionError" in names:  # the openai SDK's, around anything that stopped a request
        evidence.guess = Reason.CONNECTION


def _add_wrapper(evidence: Evidence, link: BaseException, names: frozenset[str]) -> None:
    broken_stream = "MidStreamFallbackError" in names
    # The 503 of a broken stream is invented; the error it wraps may have a status.
    status = _attribute(_attribute(link, "original_exception") if broken_stream else link, "status_code")
    if isinstance(status, int) and 400 <= status <= 599:
        evidence.wrapper_status = status
    elif broken_stream:
        evidence.guess = Reason.CONNECTION
    evidence.wrapper_headers = _attribute(link, "litellm_response_headers") or evidence.wrapper_headers
    kinds = (reason for name, reason in _WRAPPER_KINDS.items() if name in names)
    evidence.wrapper_kind = next(kinds, evidence.wrapper_kind)


def _is_defect(link: BaseException) -> bool:
    """Whether an exception tells of a defect in some code."""
    return type(link).__module__ in ("builtins", "pydantic_core._pydantic_core")


def _answer(link: BaseException, names: frozenset[str]) -> Answer | None:
    """Read the provider's answer out of an SDK's or an HTTP client's error, if it carries one."""
    response = _attribute(link, "response")
    status = _attribute(link, "status_code") or _attribute(response, "status_code")
    if "ClientResponseError" in names:  # aiohttp's
        status = _attribute(link, "status")
    body = _attribute(link, "body")
    if isinstance(status, int) and not isinstance(status, bool):
        headers = _attribute(response, "headers") or _attribute(link, "headers")
        return read_answer(status, headers, _content(link, response, body))
    if "APIError" in names and isinstance(body, dict):  # the openai SDK's, for an error inside a stream
        return read_answer(None, None, body)
    return None


def _content(link: BaseException, response: object, body: object) -> object:
    text = _attribute(response, "text")
    if isinstance(text, str):
        return text or body
    return body or text_of(link)


def _transport(link: BaseException, names: frozenset[str]) -> Reason | None:
    if names & _TIMEOUTS:
        return Reason.TIMEOUT
    if names & _UNSENDABLE:
        return Reason.BAD_REQUEST
    if names & _UNREADABLE:
        return Reason.SERVER_ERROR
    if names & _CONNECTIONS or (isinstance(link, OSError) and link.errno in _NETWORK_ERRNOS):
        return Reason.CONNECTION
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, nearest first; never one twice, and not without end."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen and len(seen) < _DEPTH:
        seen.add(id(link))
        yield link
        link = _beneath(link)


def _beneath(link: BaseException) -> BaseException | None:
    if link.__cause__ is not None:
        return link.__cause__
    if isinstance(link, BaseExceptionGroup) and len(link.exceptions) == 1:
        only: BaseException = link.exceptions[0]
        return only
    if not _is_library(link):
        return None
    if link.__context__ is not None and not link.__suppress_context__:
        return link.__context__
    original = _attribute(link, "original_exception")  # litellm's MidStreamFallbackError
    return original if isinstance(original, BaseException) else None


def _is_library(link: BaseException) -> bool:
    root = type(link).__module__.partition(".")[0]
    return root in LIBRARIES or isinstance(_attribute(link, "status_code"), int)


def _is_wrapper(link: BaseException, names: frozenset[str]) -> bool:
    """Whether an exception is litellm's interpretation.

    Its HTTPStatusError is httpx's with the URL masked. For an error inside a "200 OK" it raises a bare
    `Exception` without a text, but with a status.
    """
    if type(link) is Exception:
        return True
    return type(link).__module__.partition(".")[0] == "litellm" and "HTTPStatusError" not in names


def _names(link: BaseException) -> frozenset[str]:
    return frozenset(base.__name__ for base in type(link).__mro__)


def _attribute(holder: object, name: str) -> object:
    """Read an attribute that may be a property that raises (httpx's `response.text` of an unread stream)."""
    try:
        return getattr(holder, name, None)
    except Exception:
        return None
