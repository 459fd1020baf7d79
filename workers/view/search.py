"""What is searched in a session: one set of fields, in which all words must occur. `roster.js` has the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Final

from tidings.workers.view.session import SessionView

SEARCHED: Final = (
    "session",
    "name",
    "parent",
    "word",
    "reason_word",
    "why",
    "message",
    "action",
    "model",
    "worker",
    "by",
    "doing",
    "place",
    "labels",
)
"""The fields, as `SessionView` has them."""

_BLANKS = re.compile("[ \t\n\r\f\v]+")
"""What stands between words, in Python and in JavaScript alike: each has further blanks that the other has not."""
_texts = attrgetter(*SEARCHED)


def searching(wanted: str) -> Callable[[SessionView], bool]:
    """Return what says of a session whether all these words occur in it, in any field and of any case."""
    words = [word for word in _BLANKS.split(wanted.lower()) if word]

    def matches(row: SessionView) -> bool:
        text = " ".join(filter(None, _texts(row))).lower()
        return all(word in text for word in words)

    return matches if words else lambda row: True
