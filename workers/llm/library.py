"""litellm: imported here alone and when needed, made quiet, made to send once, and closed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import os
import threading
import warnings
from typing import Any

from tidings.bus.redaction import environment_secrets
from tidings.workers.llm.bounds import bound_transports
from tidings.workers.log import Redaction

log = logging.getLogger("tidings.llm")

CLOSE_S = 2.0
"""Seconds that closing one connection may take; what is not closed by then is dropped."""

_ITS_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
# They log a line per request at INFO, with its address; Gemini's holds the key.
_CHATTY_LOGGERS = ("httpx", "httpcore", "openai")
_CALLBACKS = (
    "callbacks",
    "input_callback",
    "success_callback",
    "failure_callback",
    "service_callback",
    "_async_input_callback",
    "_async_success_callback",
    "_async_failure_callback",
)

_litellm: Any = None
_loading = threading.Lock()


def load_litellm() -> None:
    """Import litellm and make it fit for us; the first time it takes about 2 s and 180 MB.

    A worker calls it before its first claim, in a thread, so that no session waits for it. What it changes holds for the
    whole process: litellm fetches nothing (no price list, no tokenizers), prints nothing, does not repeat
    requests, and forgets callbacks registered before (they get every call's API key; register yours
    afterwards if you want them).
    """
    global _litellm
    with _loading:
        if _litellm is None:
            _litellm = _prepared()


async def loaded_beside() -> None:
    """Import litellm in a thread if it is not there yet: the event loop goes on meanwhile."""
    if _litellm is None:
        await asyncio.to_thread(load_litellm)


def loaded() -> Any:
    """Return litellm, imported and prepared."""
    load_litellm()
    return _litellm


async def ask(**request: Any) -> Any:
    """Send one request and return litellm's answer, or its stream if the request says so."""
    # num_retries must be 0 and not None, or the global setting counts. litellm's handler for MCP tools makes requests
    # of its own, and before 1.109 it needs a package that litellm does not depend on, whatever the tools are.
    return await loaded().acompletion(**request, max_retries=0, num_retries=0, _skip_mcp_handler=True)


def accepts(model: str, param: str) -> bool:
    """Whether the route of a model knows a parameter of OpenAI's."""
    try:
        return param in (loaded().get_supported_openai_params(model) or ())
    except Exception:  # a model that litellm does not know; the call itself will say so
        return False


async def close_stream(stream: Any) -> None:
    """Close a stream and its connection, so that the provider stops generating; raises only if cancelled."""
    # Before 1.109 closing litellm's stream leaves Anthropic's connection to the garbage collector.
    lines = getattr(getattr(stream, "completion_stream", None), "streaming_response", None)
    for resource in (stream, lines):
        await _close(resource)


async def close_litellm() -> None:
    """Close what litellm holds open on this event loop. Idempotent; calls after it work.

    Call it before the loop ends, or aiohttp warns of unclosed sessions. Calls in flight on this loop fail.
    """
    if _litellm is None:
        return
    cache = _litellm.in_memory_llm_clients_cache
    ours = cache.update_cache_key_with_event_loop("")
    shared = [_litellm.__dict__.get("module_level_aclient")]  # asking for the attribute would make it
    for key, client in list(cache.cache_dict.items()):
        if str(key).endswith(ours) and client not in shared:
            await _close(client)
            cache.delete_cache(key)
        else:
            shared.append(client)
    for client in shared:
        # Of a client of the whole process only the session is of this loop, and it makes itself another.
        if _is_on_this_loop(transport := _transport(client)):
            await _close(transport)
    await _stop_logging_worker()


def _prepared() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    # Read when it is imported, and the only switch that reaches a client that Azure's route has cached.
    os.environ["DEFAULT_MAX_RETRIES"] = "0"
    library: Any = importlib.import_module("litellm")
    _redact_once()
    _quiet(library)
    _drop_callbacks(library)
    _send_once()
    _let_gemini_end()
    bound_transports()
    return library


def _redact_once() -> None:
    """Switch off litellm's own redaction, which held the loop for 6 s a megabyte of error text; ours stands before its loggers.

    Its variable, LITELLM_DISABLE_REDACT_SECRETS, is read when it is imported, which somebody may have done before us, and would
    be inherited by programs that we start.
    """
    for name in ("litellm._logging", "litellm.litellm_core_utils.exception_mapping_utils"):
        module: Any = importlib.import_module(name)
        module._ENABLE_SECRET_REDACTION = False
    redaction = Redaction(environment_secrets(os.environ))
    for name in _ITS_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(given, Redaction) for given in logger.filters):
            logger.addFilter(redaction)


def _quiet(library: Any) -> None:
    library.suppress_debug_info = True
    library.set_verbose = False
    library.telemetry = False
    if library.disable_hf_tokenizer_download is None:
        # Counting tokens for a llama-3 looks for its tokenizer on a hub, for some 20 s where there is none.
        library.disable_hf_tokenizer_download = True
    # It prepares a call in a thread; one that is cancelled meanwhile (a pause) leaves the coroutine made there behind.
    warnings.filterwarnings("ignore", r"coroutine '.*completion' was never awaited", RuntimeWarning)
    for name in _ITS_LOGGERS:
        logger = logging.getLogger(name)
        # Its own handlers print past our redaction, and a second time.
        logger.handlers.clear()
        if not os.environ.get("LITELLM_LOG"):
            logger.setLevel(logging.WARNING)
    for name in _CHATTY_LOGGERS:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def _drop_callbacks(library: Any) -> None:
    dropped = 0
    for name in _CALLBACKS:
        callbacks = getattr(library, name, None)
        if isinstance(callbacks, list):
            dropped += len(callbacks)
            callbacks.clear()
    if dropped:
        log.warning("llm.callbacks_dropped", extra={"dropped": dropped})


def _send_once() -> None:
    """Keep litellm before 1.109 from sending a request again when its connection is reset (all but SDK routes)."""
    handler: Any = importlib.import_module("litellm.llms.custom_httpx.http_handler").AsyncHTTPHandler
    if hasattr(handler, "single_connection_post_request"):
        handler.single_connection_post_request = _raise_again


async def _raise_again(*_: object, **__: object) -> None:
    """Stand in for the second request: it is called while the error of the first is being handled."""
    raise


def _let_gemini_end() -> None:
    """Keep litellm from giving every piece of a Gemini stream a "stop" of its own, so that a cut one looks complete."""
    config = importlib.import_module("litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini").VertexGeminiConfig
    made = getattr(config, "_create_streaming_choice", None)
    if made is None or hasattr(made, "__wrapped__"):
        return

    @functools.wraps(made)
    def choice(*arguments: Any, candidate: Any, **keywords: Any) -> Any:
        piece = made(*arguments, candidate=candidate, **keywords)
        if not candidate.get("finishReason"):
            piece.finish_reason = None
        return piece

    config._create_streaming_choice = staticmethod(choice)


async def _stop_logging_worker() -> None:
    worker = importlib.import_module("litellm.litellm_core_utils.logging_worker").GLOBAL_LOGGING_WORKER
    if getattr(worker, "_bound_loop", None) is asyncio.get_running_loop():
        await worker.stop()


async def _close(resource: Any) -> None:
    close = getattr(resource, "aclose", None) or getattr(resource, "close", None)
    if close is None:
        return
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await close()


def _transport(client: Any) -> Any:
    http = getattr(client, "_client", None) or getattr(client, "client", None)
    return getattr(http, "_transport", None)


def _is_on_this_loop(transport: Any) -> bool:
    session = getattr(transport, "client", None)
    return getattr(session, "_loop", None) is asyncio.get_running_loop()
