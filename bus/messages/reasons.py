"""Why a call to a model failed: the words of the wire, shared by workers, controllers and people."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a call to a model failed."""

    RATE_LIMIT = "rate_limit"
    """Too many requests or tokens per minute; waiting helps."""
    QUOTA_EXHAUSTED = "quota_exhausted"
    """The allowance of the account, the day or the month is used up; only a person or the calendar helps."""
    OVERLOADED = "overloaded"
    """The provider has no capacity for any client."""
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server_error"
    AUTH = "auth"
    BAD_REQUEST = "bad_request"
    CONTEXT_WINDOW = "context_window"
    CONTENT_POLICY = "content_policy"
    UNKNOWN = "unknown"
    """An answer of the provider that cannot be told, or no answer at all: then most often a defect in the caller's own code."""

    @classmethod
    def _missing_(cls, value: object) -> Reason | None:
        """Read a word of a newer version as UNKNOWN: what it stands in can then still be read."""
        return cls.UNKNOWN if isinstance(value, str) and value else None

    @property
    def is_rate_limit(self) -> bool:
        """Whether a session that waits for this reason is called rate limited."""
        return self in (Reason.RATE_LIMIT, Reason.QUOTA_EXHAUSTED)
