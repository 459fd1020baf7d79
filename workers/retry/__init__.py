"""What a failed call to a model means and how long to wait: pure, without a clock, a network or litellm."""

from tidings.workers.retry.failure import MESSAGE_LIMIT, Failure, classify, classify_response
from tidings.workers.retry.plan import GiveUp, Park, Retry, RetryPlan, Verdict
from tidings.workers.retry.retry_after import LONGEST_HINT_S, retry_after

__all__ = [
    "LONGEST_HINT_S",
    "MESSAGE_LIMIT",
    "Failure",
    "GiveUp",
    "Park",
    "Retry",
    "RetryPlan",
    "Verdict",
    "classify",
    "classify_response",
    "retry_after",
]
