"""Say what a person can do about a failed call, in one sentence; shown beside the reason, wherever it is shown."""

from __future__ import annotations

from typing import Final

from tidings.bus.messages import Reason
from tidings.workers.retry.answer import Answer
from tidings.workers.retry.rules import is_by_period, is_nothing_allowed
from tidings.workers.retry.vocabulary import KEY

BY_REASON: Final[dict[Reason, str]] = {
    Reason.RATE_LIMIT: "Wait: the allowance refills by itself. Fewer workers or a higher limit help.",
    Reason.QUOTA_EXHAUSTED: "Check plan, billing and spending limits with the provider, then resume.",
    Reason.OVERLOADED: "Wait, or choose another model: the provider has no capacity at the moment.",
    Reason.TIMEOUT: "Resume to try again; if it happens again, allow more time or ask for a shorter answer.",
    Reason.CONNECTION: "Check the provider's address and the network, then resume.",
    Reason.SERVER_ERROR: "Look at the provider's status page and resume later.",
    Reason.AUTH: "Give the worker a valid API key that may use this model, then resume.",
    Reason.BAD_REQUEST: "Correct the model name, the address or the request, then resume.",
    Reason.CONTEXT_WINDOW: "Shorten the history or choose a model with a larger context or limit.",
    Reason.CONTENT_POLICY: "Change what is asked: the provider refuses it by its content policy.",
    Reason.UNKNOWN: "Read the worker's log: this looks like a defect in the agent or the worker.",
}
"""What holds for a reason with every answer."""

DAY_ENDS: Final = "Wait: the allowance of the day comes back by itself at the time named, or raise it."
DAY_USED_UP: Final = "The allowance of the day or month is used up: raise it, or resume when it is renewed."
QUOTA_ENDS: Final = "It goes on by itself at the time the provider named; raise the limit and resume to go on sooner."
NOTHING_ALLOWED: Final = "The limit is zero: ask the provider for one, or choose another model or region, then resume."
NOT_UNDERSTOOD: Final = "Read what the provider says; act on it, or ask the provider what it means, then resume."
NOT_ALLOWED: Final = "Ask the provider for access to this model from here, or give the worker another key, then resume."
TOO_LARGE_A_MINUTE: Final = "Shorten the history or raise the limit: this request alone exceeds the tokens per minute."
A_WHOLE_DAY: Final = "Raise the limit or shorten the history: a wait of a whole day mostly means that it never fits."
NO_SUCH_MODEL: Final = "Correct the model name or the address, then resume."
UNREADABLE: Final = "Check that the address speaks this model's API; if it does, resume later."
NOT_INSTALLED: Final = "Install the package named beside the worker and start it again, then resume."

_WHOLE_DAY: Final = "retry after 86400 seconds"  # Azure, to a request that alone exceeds the limit
_USE_CASE: Final = "use case details have not been"  # Bedrock, which has the model but does not give it


def advise(reason: Reason, answer: Answer | None = None) -> str:
    """Return what a person can do.

    Args:
        reason: Why the call failed.
        answer: What the provider said, if it said anything; it makes the advice more exact.
    """
    special = _special(reason, answer) if answer is not None else None
    return special or BY_REASON[reason]


def _special(reason: Reason, answer: Answer) -> str | None:
    if reason is Reason.UNKNOWN:
        return NOT_UNDERSTOOD
    if reason is Reason.QUOTA_EXHAUSTED and is_nothing_allowed(answer):
        return NOTHING_ALLOWED
    by_period = is_by_period(answer)
    if reason is Reason.RATE_LIMIT and by_period:
        return DAY_ENDS
    if reason is Reason.RATE_LIMIT and _WHOLE_DAY in answer.text:
        return A_WHOLE_DAY
    if reason is Reason.QUOTA_EXHAUSTED and by_period:
        return DAY_USED_UP
    if reason is Reason.AUTH and answer.status in (400, 403) and not KEY.search(answer.text):
        return NOT_ALLOWED
    if reason is Reason.CONTEXT_WINDOW and "per min" in answer.text.lower():
        return TOO_LARGE_A_MINUTE
    if reason is Reason.BAD_REQUEST and answer.status == 404:
        return NOT_ALLOWED if _USE_CASE in answer.text.lower() else NO_SUCH_MODEL
    return None
