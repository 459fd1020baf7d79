"""Admission of calls: known keys, and one meter for each key and model."""

from __future__ import annotations

from collections import OrderedDict

from tidings.workers.provider.limits import Admission, Meter
from tidings.workers.provider.settings import ProviderSettings

METERS_MAX = 10_000
"""Meters kept. The one unused for longest goes first, and would by then be full again in any sane setting."""


class Limiter:
    """Checks keys and counts use against their limits."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._keys = settings.keys
        self._limit = settings.limit
        self._meters: OrderedDict[tuple[str, str], Meter] = OrderedDict()

    def knows(self, key: str) -> bool:
        """Return whether the key may call at all."""
        return not self._keys or key in self._keys

    def admit(self, key: str, model: str, tokens: int, now: float) -> Admission:
        """Decide on a call that uses `tokens`, and count it.

        Raises:
            KeyError: keys are set and this one is not known.
        """
        limit = self._keys[key] if self._keys else self._limit
        meter = self._meters.get((key, model)) or Meter.fresh(limit, now)
        self._meters[key, model], decision = meter.admit(tokens, now)
        self._meters.move_to_end((key, model))
        if len(self._meters) > METERS_MAX:
            self._meters.popitem(last=False)
        return decision
