"""The gate: where a quota that many workers share lets an attempt pass."""

from __future__ import annotations

import logging
from typing import Protocol

from tidings.workers.errors import LlmError
from tidings.workers.llm.usage import Tokens
from tidings.workers.retry import Failure

log = logging.getLogger("tidings.llm")


class Gate(Protocol):
    """Paces attempts, and learns from how they end.

    An attempt that is cancelled between `acquire` and its end is neither settled nor refused. An error of a
    gate never fails a call, unless it is an `LlmError` of `acquire`, which ends the call as if the provider
    had refused it.
    """

    async def acquire(self, model: str) -> None:
        """Wait until an attempt may go out."""
        ...

    def settle(self, model: str, usage: Tokens) -> None:
        """Learn that an attempt succeeded and what it used; must not block."""
        ...

    def refuse(self, model: str, failure: Failure) -> None:
        """Learn that an attempt failed, and why; must not block."""
        ...


class GuardedGate:
    """A gate, or none, that cannot do harm: it fails open, and says so once."""

    def __init__(self, gate: Gate | None) -> None:
        self._gate = gate
        self._complained = False

    async def acquire(self, model: str) -> None:
        """Wait until an attempt may go out.

        Raises:
            LlmError: the gate knows that it would be refused.
        """
        if self._gate is None:
            return
        try:
            await self._gate.acquire(model)
        except LlmError:
            raise
        except Exception:
            self._complain()

    def settle(self, model: str, usage: Tokens) -> None:
        """Tell the gate of a success."""
        if self._gate is None:
            return
        try:
            self._gate.settle(model, usage)
        except Exception:
            self._complain()

    def refuse(self, model: str, failure: Failure) -> None:
        """Tell the gate of a failure."""
        if self._gate is None:
            return
        try:
            self._gate.refuse(model, failure)
        except Exception:
            self._complain()

    def _complain(self) -> None:
        if not self._complained:
            self._complained = True
            log.warning("llm.gate_failed", exc_info=True)
