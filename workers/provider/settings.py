"""The settings of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tidings.workers.provider.api_keys import mask
from tidings.workers.provider.faults import Fault, explain
from tidings.workers.provider.headers import RetryAfterStyle
from tidings.workers.provider.limits import Limit

ECHO = "echo"
"""The setting `answer` that repeats what the user said."""


class ProviderSettings(BaseModel):
    """Everything that can be set about a provider; the defaults answer every call at once.

    Attributes:
        host: The address to listen on. Every client that reaches it can script failures and read the recorded
            prompts.
        port: The TCP port; 0 takes a free one.
        keys: The API keys that are known, each with its limit; any other is answered 401. None (or none): any
            key, or no key at all, is served under `limit`.
        limit: The limit of each key where `keys` is not set. A limit counts each key and model apart.
        models: The models that exist; any other is answered 404. Empty: every name is a model.
        retry_after: How a 429 says how long to wait, if at all.
        ratelimit_headers: Whether answers tell the limits in `x-ratelimit-*` headers.
        latency_s: Seconds before an answer begins; refusals and scripted failures come at once.
        chunk_latency_s: Seconds before each piece of a streamed answer.
        answer: `echo` repeats the last user message; any other text is the answer to everything.
        script: Scripted failures from the start, in order.
        request_log: How many requests are recorded; older ones are dropped and counted.
        request_log_bytes: How many bytes of request bodies are recorded at most.
        body_bytes: The largest request body; a larger one is answered 413.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=0, ge=0, le=65535)
    keys: dict[str, Limit] | None = Field(default=None, repr=False)
    limit: Limit = Field(default_factory=Limit)
    models: tuple[str, ...] = ()
    retry_after: RetryAfterStyle = "seconds"
    ratelimit_headers: bool = True
    latency_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    chunk_latency_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    answer: str = ECHO
    script: tuple[Fault, ...] = ()
    request_log: int = Field(default=10_000, ge=0)
    request_log_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    body_bytes: int = Field(default=16 * 1024 * 1024, ge=1)

    @field_validator("keys", mode="before")
    @classmethod
    def _keys_stay_out_of_errors(cls, keys: Any) -> Any:
        """Check each limit here, since pydantic would name the place of an error by the key itself."""
        if not isinstance(keys, Mapping):
            return keys
        return {key: _limit(key, limit) for key, limit in keys.items()}


def _limit(key: object, limit: object) -> Limit:
    if not isinstance(key, str) or not key:
        raise ValueError("an API key is a text and not empty")
    try:
        return Limit.model_validate(limit)
    except ValidationError as error:
        raise ValueError(f"the limit of key {mask(key)}: {explain(error)}") from None
