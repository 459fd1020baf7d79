"""The interruption: Ctrl-C, SIGTERM or the key q, as an orderly wish to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from workers.cli.serve import SIGNALS
from workers.cli.tasks import end


class Interruption:
    """Listens to the signals that end a program; a context manager.

    The first is a wish to end, which is heeded. It gives the signals back what they usually do: a second one ends us at once.
    """

    def __init__(self) -> None:
        self._wished = asyncio.Event()
        self._signal = signal.SIGINT

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.wish, number)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def wish(self, number: signal.Signals = signal.SIGINT) -> None:
        """Wish to end, as if that signal had come."""
        if not self._wished.is_set():
            self._signal = number
            self._wished.set()
            self.__exit__(None, None, None)

    @property
    def code(self) -> int:
        """The exit code that shells give for the signal."""
        return 128 + self._signal

    async def wait(self) -> None:
        """Wait for the wish."""
        await self._wished.wait()

    async def spared(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do some work to its end, unless the wish comes first: then it is cancelled; returns whether it was done.

        Raises:
            Exception: as the work raised it.
        """
        task, wish = asyncio.create_task(work), asyncio.create_task(self.wait())
        try:
            await asyncio.wait({task, wish}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            return False
        finally:
            await end(wish)
            await end(task)
