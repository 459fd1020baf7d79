"""Whether a plain error of Python is the provider's doing, told by its traceback."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tidings.bus.messages import Reason
from tidings.workers.retry.broken_read import broke_reading

Inner = Callable[[], object]


def function(module: str, name: str, inner: Inner) -> Inner:
    """Define a function of this name as if it stood in this module; it calls another."""
    namespace: dict[str, object] = {"__name__": module, "inner": inner}
    exec(f"def {name}(): return inner()", namespace)
    made = namespace[name]
    assert callable(made)
    return made


def stack(*places: tuple[str, str], inner: Inner) -> Inner:
    """Nest functions, the outermost first, around one that raises."""
    for module, name in reversed(places):
        inner = function(module, name, inner)
    return inner


def raising(error: BaseException, module: str = "litellm.llms.x", name: str = "raises") -> Inner:
    """Define a function that raises, in a module that is somebody's."""
    namespace: dict[str, object] = {"__name__": module, "error": error}
    exec(f"def {name}(): raise error", namespace)
    made = namespace[name]
    assert callable(made)
    return made


def judged(call: Inner) -> Reason | None:
    """Let it raise, and ask."""
    try:
        call()
    except Exception as error:
        return broke_reading(error)
    raise AssertionError("it did not raise")


HANDLER = ("litellm.llms.custom_httpx.llm_http_handler", "async_completion")


@pytest.mark.parametrize(
    "reader",
    [
        "transform_response",
        "_transform_response",
        "transform_parsed_response",
        "_transform_google_generate_content_to_openai_model_response",
        "transform_google_generate_content_to_openai_model_response",
        "process_response",
        "convert_to_model_response_object",
        "chunk_parser",
        "_chunk_parser",
        "converse_chunk_parser",
        "chunk_creator",
        "__anext__",
        "__next__",
    ],
)
@pytest.mark.parametrize("error", [KeyError("choices"), TypeError("no"), AttributeError("no"), IndexError(0), ValueError("no")])
def test_what_a_reader_stumbles_over_is_the_providers_doing(reader: str, error: Exception) -> None:
    """The functions by which litellm reads answers are known, by what they are called in both versions."""
    place = ("litellm.llms.x.chat.transformation", reader)
    assert judged(stack(HANDLER, place, inner=raising(error))) is Reason.SERVER_ERROR


@pytest.mark.parametrize(
    "function_name",
    [
        "transform_request",
        "validate_environment",
        "get_optional_params",
        "map_openai_params",
        "_transform_responses_api_request",
        "map_response_format",
        "_resolve_dispatched_chat_response",
        "acompletion",
    ],
)
def test_what_breaks_before_there_is_an_answer_is_a_defect(function_name: str) -> None:
    """A prompt that is none breaks litellm too, where it makes the request."""
    place = ("litellm.llms.x.chat.transformation", function_name)
    assert judged(stack(HANDLER, place, inner=raising(TypeError("'NoneType' object is not iterable")))) is None


def test_libraries_beneath_a_reader_belong_to_it() -> None:
    """Pydantic and the standard library raise on litellm's behalf."""
    reader = ("litellm.types.utils", "chunk_parser")
    assert judged(stack(reader, inner=raising(AttributeError("no"), "pydantic.main", "__getattr__"))) is Reason.SERVER_ERROR
    assert judged(stack(reader, inner=lambda: json.loads("{"))) is None  # this file's own lambda stands between
    assert judged(stack(reader, ("json", "loads"), inner=raising(ValueError("no"), "json.decoder"))) is Reason.SERVER_ERROR


def test_defect_of_a_callback_within_a_reader_is_a_defect() -> None:
    """Whoever hooks into litellm does not hide his bugs behind the provider."""
    reader = ("litellm.litellm_core_utils.streaming_handler", "__anext__")
    assert judged(stack(reader, inner=raising(KeyError("mine"), "my_agent.hooks", "on_chunk"))) is None
    assert judged(stack(reader, ("my_agent.hooks", "on_chunk"), inner=raising(TypeError("no"), "json.encoder"))) is None


def test_reader_of_somebody_else_is_none() -> None:
    """An agent may have a function of the same name."""
    assert judged(stack(("my_agent.parsing", "transform_response"), inner=raising(KeyError("a"), "json"))) is None


@pytest.mark.parametrize("end", [StopAsyncIteration, StopIteration])
def test_end_of_a_stream_within_a_library_is_a_cut(end: type[Exception]) -> None:
    """From 1.109 on that is what lies beneath litellm's error for a stream that ended before its answer."""
    place = ("litellm.litellm_core_utils.streaming_handler", "__anext__")
    assert judged(stack(place, inner=raising(end()))) is Reason.CONNECTION
    assert judged(raising(end(), "my_agent.loop")) is None
    assert judged(raising(end(), "asyncio.queues")) is None


def test_azure_asks_its_answer_for_a_dump() -> None:
    """Before 1.109 it does so in a function that also makes the request; what is missing tells."""

    def dump() -> object:
        return None.model_dump()  # type: ignore[attr-defined]

    namespace: dict[str, object] = {"__name__": "litellm.llms.azure.azure"}
    exec("def acompletion(): return None.model_dump()", namespace)
    acompletion = namespace["acompletion"]
    assert callable(acompletion)
    assert judged(acompletion) is Reason.SERVER_ERROR
    assert judged(dump) is None


def test_error_that_is_no_defect_is_not_judged() -> None:
    """What else goes wrong in a reader (no memory, a signal's exception) is not the provider's."""
    reader = ("litellm.llms.x", "chunk_parser")
    assert judged(stack(reader, inner=raising(MemoryError()))) is None
    assert judged(stack(reader, inner=raising(OSError(28, "No space left")))) is None


def test_error_without_a_traceback_says_nothing() -> None:
    """An exception that was never raised has no place."""
    assert broke_reading(KeyError("choices")) is None
