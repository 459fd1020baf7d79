"""What people are told they can do."""

from __future__ import annotations

import pytest

from tidings.bus.messages import Reason
from tidings.workers.retry import advice
from tidings.workers.retry.answer import read_answer

SENTENCES = [
    *advice.BY_REASON.values(),
    advice.DAY_ENDS,
    advice.DAY_USED_UP,
    advice.QUOTA_ENDS,
    advice.NOTHING_ALLOWED,
    advice.NOT_UNDERSTOOD,
    advice.NOT_ALLOWED,
    advice.TOO_LARGE_A_MINUTE,
    advice.A_WHOLE_DAY,
    advice.NO_SUCH_MODEL,
    advice.UNREADABLE,
    advice.NOT_INSTALLED,
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_advice_is_short_and_whole(sentence: str) -> None:
    """It stands in one line beside the reason, and each is said of one thing."""
    assert sentence.endswith(".")
    assert len(sentence) < 100
    assert SENTENCES.count(sentence) == 1


def test_every_reason_has_advice() -> None:
    """None is shown without."""
    assert set(advice.BY_REASON) == set(Reason)


@pytest.mark.parametrize(
    ("message", "special"),
    [
        ("API key not valid. Please pass a valid API key.", False),
        ("Incorrect API key provided", False),
        ("The security token included in the request is expired", False),
        ("Your API key does not have permission to use the specified resource.", True),
        ("User location is not supported for the API use.", True),
    ],
)
def test_key_that_is_refused_is_not_a_key_that_may_not(message: str, special: bool) -> None:
    """Another key helps with the one, asking the provider with the other."""
    told = advice.advise(Reason.AUTH, read_answer(403, None, {"message": message}))
    assert told == (advice.NOT_ALLOWED if special else advice.BY_REASON[Reason.AUTH])
