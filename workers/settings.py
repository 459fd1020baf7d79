"""Every setting of a Tidings process, from the environment or from a flag of the command line.

One field is one setting. Its name gives the variable (``lease_s``: ``TIDINGS_LEASE_S``) and the flag
(``--lease-s``); its description is the help of the flag and the row in docs/settings.md. A flag wins over the
environment. No file is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tidings.bus.messages.work import DEFAULT_QUEUE
from tidings.bus.redaction import redact

if TYPE_CHECKING:
    from tidings.workers.retry import RetryPlan

ENV_PREFIX = "TIDINGS_"
"""What the name of each variable begins with."""

LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Flag:
    """How a setting stands on the command line.

    Attributes:
        group: under which heading it is listed.
        metavar: what its value is called in the help.
        name: the flag, where it does not follow from the name of the setting.
        repeated: whether the flag may stand several times; in the environment its values are separated by commas.
    """

    group: str
    metavar: str = "TEXT"
    name: str = ""
    repeated: bool = False


class BadSetting(ValueError):
    """A setting cannot be used as given; the text names it, and never quotes the value.

    Attributes:
        names: the settings in question.
    """

    def __init__(self, message: str, names: tuple[str, ...]) -> None:
        super().__init__(message)
        self.names = names


_CONNECTION, _LOGGING = "Connection", "Logging"
_WORKER, _RETRIES, _CONTROLLER, _GATEWAY = "Worker", "Retries", "Controller", "Gateway"
_TOKEN = r"[A-Za-z0-9._~+/=-]{16,512}"
"""What may stand in a header as a token (RFC 6750); shorter ones can be guessed."""
_DAY_S = 24 * 3600
_NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
_AGENT = rf"(?:{_NAME}=)?[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*"
_REPLACED = {"park_limit": "park_for_s", "grace_s": "drain_timeout_s", "hold_limit_s": "max_inline_wait_s"}
"""Settings that were replaced, and by which: one that is given in vain must not be passed over in silence."""


def _seconds(default: float, *, ge: float, le: float, description: str) -> Any:
    return Field(default, ge=ge, le=le, allow_inf_nan=False, description=description)


def _renewal(given: dict[str, Any]) -> float:
    """Return the default of ``renew_s``: a short lease, also a controller's, must not contradict what was not given."""
    lease_s: float = given.get("lease_s", 10.0)
    return min(1.0, lease_s / 4)


class Settings(BaseSettings):
    """All settings; frozen, and checked together when they are read.

    Raises:
        ValidationError: a value is out of its bounds or contradicts another; ``load_settings`` says so in
            one line.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    redis_url: Annotated[SecretStr, Flag(_CONNECTION, "URL", "--redis")] = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        min_length=1,
        description="Redis to use: redis://, rediss:// or unix://. It may hold a user name and a password.",
    )
    prefix: Annotated[str, Flag(_CONNECTION)] = Field(
        "",
        pattern=r"^[A-Za-z0-9_.:-]{0,64}$",
        description="Put before every name in Redis, so that several installations can share it.",
    )
    payload_limit: Annotated[int, Flag(_CONNECTION, "BYTES")] = Field(
        256 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Most bytes of one message; the same everywhere.",
    )
    command_timeout_s: Annotated[float, Flag(_CONNECTION, "SECONDS", "--timeout")] = _seconds(
        10.0,
        ge=0.05,
        le=_DAY_S,
        description="How long a command waits for its outcome. After that it is withdrawn and never applied.",
    )
    log_level: Annotated[LogLevel, Flag(_LOGGING, "LEVEL")] = Field(
        "info", description="Least level that is logged: debug, info, warning or error."
    )
    log_json: Annotated[bool, Flag(_LOGGING)] = Field(False, description="Log one JSON object a line.")

    model: Annotated[str | None, Flag(_WORKER)] = Field(
        None,
        min_length=1,
        max_length=200,
        description="Model as litellm names it, such as openai/gpt-4o-mini.",
    )
    api_base: Annotated[str | None, Flag(_WORKER, "URL")] = Field(
        None,
        min_length=1,
        description="Address of the provider, where it is not litellm's own for the model.",
    )
    agent: Annotated[str, Flag(_WORKER, "[NAME=]MODULE:CLASS", repeated=True)] = Field(
        "tidings:ChatAgent",
        pattern=rf"^{_AGENT}(?:,{_AGENT})*$",
        max_length=4000,
        description="Class of the agent; modules of the current folder can be named. Several have names, and the first one runs "
        "the sessions that name none.",
    )
    queue: Annotated[str, Flag(_WORKER, "NAME", repeated=True)] = Field(
        DEFAULT_QUEUE,
        pattern=rf"^{_NAME}(?:,{_NAME})*$",
        max_length=4000,
        description="Queues that a worker serves.",
    )
    system_prompt: Annotated[str, Flag(_WORKER)] = Field(
        "", description="What the chat agent puts before every conversation; empty: nothing."
    )
    concurrency: Annotated[int, Flag(_WORKER, "N")] = Field(
        1, ge=1, le=1000, description="Sessions that one worker holds at a time."
    )
    lease_s: Annotated[float, Flag(_WORKER, "SECONDS")] = _seconds(
        10.0,
        ge=0.1,
        le=3600,
        description="How long a session stays with a worker that is not heard of; then another takes over.",
    )
    renew_s: Annotated[float, Flag(_WORKER, "SECONDS")] = Field(
        default_factory=_renewal,
        ge=0.01,
        le=600,
        allow_inf_nan=False,
        description="How often a worker renews its leases and hears what is wanted of it; a lease below 4 s: a quarter of it.",
    )
    blocked_limit_s: Annotated[float, Flag(_WORKER, "SECONDS")] = _seconds(
        120.0,
        ge=0.1,
        le=_DAY_S,
        description="How long leases are renewed while an agent's code blocks the event loop. Then its session is in error,"
        " and its worker ends with exit code 5.",
    )
    poll_s: Annotated[float, Flag(_WORKER, "SECONDS")] = _seconds(
        1.0,
        ge=0.01,
        le=60,
        description="How often a worker with a free slot looks for a queued session when nothing wakes it.",
    )
    drain_timeout_s: Annotated[float, Flag(_WORKER, "SECONDS")] = _seconds(
        30.0,
        ge=0,
        le=3600,
        description="How long a worker that is told to end may still finish what it is doing.",
    )
    llm_timeout_s: Annotated[float, Flag(_WORKER, "SECONDS")] = _seconds(
        120.0, ge=0.05, le=6 * 3600, description="Most time that one request to a provider may take."
    )
    max_answer_bytes: Annotated[int, Flag(_WORKER, "BYTES")] = Field(
        64 * 1024 * 1024,
        ge=1024,
        le=1024 * 1024 * 1024,
        description="Most bytes of one answer, decompressed; a plain one, and each event of a stream, may have an eighth."
        " A longer one is an error.",
    )

    attempts: Annotated[int, Flag(_RETRIES, "N")] = Field(6, ge=1, le=100, description="Requests of one run, the first included.")
    backoff_base_s: Annotated[float, Flag(_RETRIES, "SECONDS")] = _seconds(
        1.0,
        ge=0,
        le=3600,
        description="Longest wait after the first failure; it doubles with each further one.",
    )
    backoff_cap_s: Annotated[float, Flag(_RETRIES, "SECONDS")] = _seconds(
        30.0, ge=0, le=3600, description="Most that such a wait grows to, unless the provider asks for more."
    )
    wait_budget_s: Annotated[float, Flag(_RETRIES, "SECONDS")] = _seconds(
        300.0, ge=0, le=_DAY_S, description="Most time spent on waits in one run, all of them together."
    )
    max_inline_wait_s: Annotated[float, Flag(_RETRIES, "SECONDS")] = _seconds(
        60.0,
        ge=0,
        le=_DAY_S,
        description="A longer wait than this parks the session and frees the worker.",
    )
    park_base_s: Annotated[float, Flag(_RETRIES, "SECONDS")] = _seconds(
        60.0,
        ge=0.01,
        le=_DAY_S,
        description="How long the first park lasts if the provider named no time; each further one doubles.",
    )
    park_cap_s: Annotated[float, Flag(_RETRIES, "SECONDS")] = _seconds(
        900.0, ge=0.01, le=7 * _DAY_S, description="Most that a park without a time named grows to."
    )
    park_for_s: Annotated[float, Flag(_RETRIES, "SECONDS")] = _seconds(
        24 * 3600.0,
        ge=0,
        le=366 * _DAY_S,
        description="How long parks without a time named may last together, without a success; then an outage is an error, and a "
        "limit waits for a person.",
    )

    controller_poll_s: Annotated[float, Flag(_CONTROLLER, "SECONDS")] = _seconds(
        0.5,
        ge=0.01,
        le=60,
        description="How often a controller looks for due sessions when nothing wakes it.",
    )
    visibility_s: Annotated[float, Flag(_CONTROLLER, "SECONDS")] = _seconds(
        5.0,
        ge=0.1,
        le=600,
        description="How long a session that one controller took up stays hidden from the others.",
    )
    loss_limit: Annotated[int, Flag(_CONTROLLER, "N")] = Field(
        5, ge=1, le=1000, description="Workers lost in a row after which a session is in error."
    )

    host: Annotated[str, Flag(_GATEWAY)] = Field(
        "127.0.0.1",
        min_length=1,
        max_length=255,
        description="Address that the gateway listens on; any but the loopback needs a token that was chosen.",
    )
    port: Annotated[int, Flag(_GATEWAY)] = Field(
        8080, ge=0, le=65535, description="Port that it listens on; 0: any that is free."
    )
    token: Annotated[SecretStr | None, Flag(_GATEWAY)] = Field(
        None,
        description="Token of operators, of 16 or more letters, digits and ._~+/=-; without it one is made and printed. "
        "Give it in the environment: every user of the machine can see a command line.",
    )
    viewer_token: Annotated[SecretStr | None, Flag(_GATEWAY)] = Field(
        None, description="Token of viewers, who may only look; without it there are none."
    )
    allowed_origins: Annotated[str, Flag(_GATEWAY, "ORIGINS")] = Field(
        "",
        max_length=2000,
        description="Other origins whose pages may use the gateway, such as https://ops.example.org, separated by commas.",
    )
    command_rate: Annotated[int, Flag(_GATEWAY, "N")] = Field(
        60, ge=1, le=100_000, description="Commands a minute that each token may send through the gateway."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what is given and the environment, nothing else."""
        return init_settings, env_settings

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.renew_s >= self.lease_s / 2:
            raise _contradiction("renew_s", "must be less than half of", "lease_s", "or one lost renewal costs the session")
        for low, high in (("backoff_base_s", "backoff_cap_s"), ("park_base_s", "park_cap_s")):
            if getattr(self, low) > getattr(self, high):
                raise _contradiction(low, "must not be more than", high, "which bounds it")
        if self.token is not None and self.token == self.viewer_token:
            raise _contradiction("viewer_token", "must differ from", "token", "or viewers may do everything")
        return self

    @field_validator("token", "viewer_token")
    @classmethod
    def _usable_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not re.fullmatch(_TOKEN, token.get_secret_value()):
            raise ValueError("a token has 16 to 512 letters, digits and ._~+/=-, such as `openssl rand -hex 24` prints")
        return token

    @field_validator("api_base")
    @classmethod
    def _address_without_credentials(cls, address: str | None) -> str | None:
        # Imported here, because it needs the whole bus and `tidings --help` needs these settings.
        from tidings.workers.llm.request import check_address

        if address is not None:
            check_address(address)
        return address

    @field_validator("allowed_origins")
    @classmethod
    def _usable_origins(cls, origins: str) -> str:
        for origin in _split(origins):
            if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", origin):
                raise ValueError("an origin is a scheme and a host, with nothing behind it: https://ops.example.org")
        return origins

    def queues(self) -> tuple[str, ...]:
        """Return the queues that a worker serves, each once."""
        return tuple(dict.fromkeys(self.queue.split(",")))

    def origins(self) -> frozenset[str]:
        """Return the origins that may use the gateway."""
        return frozenset(_split(self.allowed_origins))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show the settings without secrets: an address of a provider may hold some too."""
        for name, value in super().__repr_args__():
            yield name, redact(value) if isinstance(value, str) else value

    def plan(self) -> RetryPlan:
        """Return how often, how long and in which rhythm failed calls are repeated."""
        # Imported here, because it needs the whole bus and `tidings --help` needs these settings.
        from tidings.workers.retry import RetryPlan

        return RetryPlan(
            attempts=self.attempts,
            base_s=self.backoff_base_s,
            cap_s=self.backoff_cap_s,
            budget_s=self.wait_budget_s,
            max_inline_wait_s=self.max_inline_wait_s,
            park_base_s=self.park_base_s,
            park_cap_s=self.park_cap_s,
            park_for_s=self.park_for_s,
        )


def load_settings(given: Mapping[str, object]) -> Settings:
    """Read the settings: what is given, else the environment, else the default.

    Args:
        given: values by the name of the setting; text is read as in the environment.

    Raises:
        BadSetting: a value is out of its bounds or contradicts another, or a setting has been replaced.
    """
    for old, new in _REPLACED.items():
        if variable_of(old) in os.environ:
            raise BadSetting(f"{variable_of(old)} is not a setting any more: take it away and give {variable_of(new)}", (old,))
    try:
        return Settings(**given)  # type: ignore[arg-type]  # text is checked and converted here
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
    # That a default cannot be made from a value that is wrong is no news.
    problems = [problem for problem in problems if problem["type"] != "default_factory_not_called"]
    names: dict[str, None] = {}
    texts = []
    for problem in problems:
        if problem["loc"]:
            name = str(problem["loc"][0])
            names[name] = None
            texts.append(f"{spelling(name)}: {problem['msg'][:1].lower()}{problem['msg'][1:]}")
        else:
            names.update(dict.fromkeys(problem.get("ctx", {}).get("names", ())))
            texts.append(problem["msg"])
    raise BadSetting("; ".join(texts), tuple(names))


def flag_of(name: str) -> Flag:
    """Return how a setting stands on the command line, its flag filled in.

    Raises:
        KeyError: there is no such setting.
    """
    (found,) = (item for item in Settings.model_fields[name].metadata if isinstance(item, Flag))
    return replace(found, name=found.name or f"--{name.replace('_', '-')}")


def variable_of(name: str) -> str:
    """Return the variable of the environment that holds a setting."""
    return f"{ENV_PREFIX}{name.upper()}"


def spelling(name: str) -> str:
    """Return both names under which a person may have given a setting: ``--redis (TIDINGS_REDIS_URL)``."""
    known = name in Settings.model_fields
    return f"{flag_of(name).name} ({variable_of(name)})" if known else f"{name} is not a setting"


def _split(origins: str) -> list[str]:
    return [origin.strip().lower() for origin in origins.split(",") if origin.strip()]


def _contradiction(low: str, relation: str, high: str, why: str) -> PydanticCustomError:
    text = f"{spelling(low)} {relation} {spelling(high)}, {why}"
    return PydanticCustomError("contradiction", "{text}", {"text": text, "names": (low, high)})
