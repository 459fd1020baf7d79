"""Every error that the workers raise about calls to models, in one tree.

    LlmError                  a call to a model did not succeed, and the run that made it is over
    ├── LlmFailed             waiting does not help
    └── LlmParked             waiting helps, but longer than a worker holds a session for: an outage
        └── LlmRateLimited    the same of a limit

    BrokenAnswer              an answer came and is none; never raised to callers, only their ``__cause__``
    ├── AnswerTooLong         an answer goes on beyond what is taken in; asking again would bring the same
    └── ErrorInAnswer         a "200 OK" holds an error of the provider's, in whatever place

Both kinds of `LlmError` have the provider's (or the library's) own error as ``__cause__``. Data is on
attributes; the text says what to do. No text holds a secret: neither theirs nor, as far as it is text, their
cause's.
"""

from __future__ import annotations

from collections.abc import Mapping

from tidings.bus.messages import Reason
from tidings.workers.retry import Failure


class LlmError(Exception):
    """A call to a model did not succeed.

    Attributes:
        failure: what the last attempt ended with.
        attempt: which one it was; the first is 1.
        max_attempts: attempts that the plan allows a run.
        model: the model as litellm was asked for it.
        llm: name of the path within the agent.
    """

    def __init__(
        self,
        message: str,
        *,
        failure: Failure,
        attempt: int,
        max_attempts: int,
        model: str,
        llm: str = "agent",
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.model = model
        self.llm = llm


class LlmFailed(LlmError):
    """The failure is not retryable."""


class LlmParked(LlmError):
    """An outage outlasts the attempts of a run, or what a worker waits for.

    Attributes:
        resume_in_s: seconds until it is worth another try, as the provider said; None if it named no time.
        schedule: whether the park schedule (`RetryPlan.park_delay_s`) says when to try again. False with
            ``resume_in_s`` None: the quota is exhausted, and only a person or the calendar helps.
    """

    def __init__(
        self,
        message: str,
        *,
        failure: Failure,
        attempt: int,
        max_attempts: int,
        model: str,
        llm: str = "agent",
        resume_in_s: float | None = None,
        schedule: bool = False,
    ) -> None:
        super().__init__(message, failure=failure, attempt=attempt, max_attempts=max_attempts, model=model, llm=llm)
        self.resume_in_s = resume_in_s
        self.schedule = schedule


class LlmRateLimited(LlmParked):
    """A rate limit outlasts what a worker waits for, or the quota is exhausted."""


_TRY_AGAIN = "Resume to try again; if it happens again, see the provider's status page or choose another model."
_SHORTER = "Ask for a shorter answer or raise TIDINGS_MAX_ANSWER_BYTES, then resume."


class BrokenAnswer(Exception):
    """The provider answered "200 OK" with something that is no answer, or stopped in the middle of one.

    Attributes:
        reason: what to call it.
        action: what a person can do, in one sentence.
        tries: requests of one call that may end so; asking for more would bring the same. None for as many as the plan has.
    """

    def __init__(self, message: str, reason: Reason, action: str = _TRY_AGAIN, tries: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.action = action
        self.tries = tries


class AnswerTooLong(BrokenAnswer):
    """The provider sends more than is taken in, or goes on for longer; its connection is closed."""

    def __init__(self, message: str, reason: Reason, action: str) -> None:
        super().__init__(message, reason, action, tries=1)

    @classmethod
    def in_bytes(cls, most: int) -> AnswerTooLong:
        """Make the error for an answer of more than this many bytes."""
        return cls(
            f"the answer is larger than {most} bytes",
            Reason.SERVER_ERROR,
            _SHORTER,
        )

    @classmethod
    def in_parts(cls, most: int) -> AnswerTooLong:
        """Make the error for an answer of more objects, lists or lines than can be read at once."""
        return cls(
            f"the answer has more than {most} objects and lists, or too many lines, to be read at once",
            Reason.SERVER_ERROR,
            _SHORTER,
        )

    @classmethod
    def in_seconds(cls, most: float) -> AnswerTooLong:
        """Make the error for a stream that goes on for longer than this."""
        return cls(
            f"the answer is still coming after {most:g} s",
            Reason.TIMEOUT,
            "Ask for a shorter answer or raise TIDINGS_LLM_TIMEOUT_S, then resume.",
        )


class ErrorInAnswer(BrokenAnswer):
    """The provider says in a "200 OK" that it failed; what it says is judged as the body of an error is.

    Attributes:
        status_code: of the answer.
        headers: of the answer.
        body: what it says, as `tidings.workers.retry.answer` reads it.
    """

    def __init__(self, status_code: int, headers: Mapping[str, str], body: object) -> None:
        super().__init__('the provider sent an error in a "200 OK"', Reason.SERVER_ERROR)
        self.status_code = status_code
        self.headers = headers
        self.body = body
