"""How much longer than usual the waits of tests may last, for a machine that is slow or busy with other things."""

from __future__ import annotations

import math
import os

VARIABLE = "TIDINGS_PATIENCE"


def stretch() -> float:
    """Return the factor that the environment's ``TIDINGS_PATIENCE`` gives; 1 where it is not set.

    Raises:
        ValueError: it is not a positive number.
    """
    text = os.environ.get(VARIABLE, "1")
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise ValueError(f"{VARIABLE} is how many times longer tests may wait, a positive number such as 3; it is {text!r}")
    return factor
