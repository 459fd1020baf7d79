"""Tell from a traceback that a library broke while it read the provider's answer, without importing the library.

A provider, or a gateway in front of it, may answer "200 OK" with JSON of another shape than its API promises: `null`, an
error without a status, a chunk without choices. litellm reads answers without looking first, so what comes out is a
`KeyError` or `AttributeError` like those that a defect in the caller's code raises inside litellm (a prompt of None, say).
Only the traceback tells them apart: somewhere in it one of litellm's functions for reading answers must be at work, and
no other code may have been called from there, because a callback's defect is not the provider's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

from tidings.bus.messages import Reason

LIBRARIES: Final = frozenset(
    {
        "aiohttp",
        "anthropic",
        "botocore",
        "google",
        "h11",
        "h2",
        "httpcore",
        "httpcore2",
        "httpx",
        "httpx2",
        "litellm",
        "mistralai",
        "openai",
        "tenacity",
    }
)
"""Root modules of the libraries between us and a provider; openai 3 has httpx2 under it."""

_BENEATH: Final = LIBRARIES | {"pydantic", "pydantic_core"}
_DEFECTS: Final = (AssertionError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)

# Found by letting every route read answers of thirty wrong shapes, with litellm 1.106 and 1.109; `__anext__` is of a stream.
_READER: Final = re.compile(
    r"_?(?:transform|process)(?:_\w+)?_response|convert_to_model_response_object|\w*chunk_parser|chunk_creator|__a?next__"
)


def broke_reading(error: BaseException) -> Reason | None:
    """Say what a plain error of Python, raised within a library that was reading an answer, is a sign of.

    Returns:
        CONNECTION for a stream that ended before its answer did, SERVER_ERROR for an answer that cannot be understood; None
        if the traceback does not say so, above all for what was raised before there was an answer.
    """
    places = list(_places(error))
    if not places or not _is_beneath(places[-1][0]):
        return None
    if isinstance(error, StopAsyncIteration | StopIteration):
        return Reason.CONNECTION if _root(places[-1][0]) in LIBRARIES else None
    if isinstance(error, _DEFECTS) and (_reads(places) or _asks_for_model_dump(error, places[-1][0])):
        return Reason.SERVER_ERROR
    return None


def _reads(places: list[tuple[str, str]]) -> bool:
    """Whether one of litellm's readers is at work, with no other code beneath it."""
    for module, function in reversed(places):
        if not _is_beneath(module):
            return False
        if _root(module) == "litellm" and _READER.fullmatch(function):
            return True
    return False


def _asks_for_model_dump(error: BaseException, module: str) -> bool:
    """Whether litellm's Azure route, before 1.109, was given something else than an object as the answer."""
    return isinstance(error, AttributeError) and error.name == "model_dump" and _root(module) == "litellm"


def _places(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield module and function of each frame, the innermost last."""
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        yield str(frame.f_globals.get("__name__", "")), frame.f_code.co_name
        traceback = traceback.tb_next


def _is_beneath(module: str) -> bool:
    return _root(module) in _BENEATH or _root(module) in sys.stdlib_module_names


def _root(module: str) -> str:
    return module.partition(".")[0]
