"""How retained and live messages become one sequence. Pure: no Redis, no clock, no task.

One ``Track`` follows one channel. Live messages arrive as Pub/Sub gives them: some missing, some twice, some before the replay
that contains them. Whatever is not the next offset makes the track ask to be read from the log, and a page from the log puts it
right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Why = Literal["trimmed", "reset"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that can no longer be delivered, told in the place where they would have stood.

    Attributes:
        channel: ``<plane>.<session>``.
        why: ``trimmed``: retention took them; ``reset``: the log is another one than the cursor's (the data was lost, or the
            cursor lies beyond the end), and what follows starts from its beginning.
        first: first offset that is missing.
        last: last offset that is missing; below ``first`` where nobody can know (``reset``).
    """

    channel: str
    why: Why
    first: int
    last: int


class Track(Generic[T]):
    """The place of one reader in one channel.

    Args:
        channel: name of the channel, for the gaps.
        epoch: identity of the log that ``last`` belongs to; None where it is not known yet.
        last: newest offset that the reader has.
    """

    __slots__ = ("channel", "epoch", "last", "stale")

    def __init__(self, channel: str, epoch: str | None = None, last: int = 0) -> None:
        self.channel = channel
        self.epoch = epoch
        self.last = last
        self.stale = True
        """Whether the log must be read before a live message can be believed."""

    def live(self, epoch: str | None, offset: int | None, message: T) -> T | None:
        """Take one live message.

        Returns it when it is the next one. Otherwise None: it is known already, or the track has become stale.
        """
        if self.stale:
            return None
        if epoch != self.epoch or offset is None:
            self.stale = True
            return None
        if offset <= self.last:
            return None
        if offset > self.last + 1:
            self.stale = True
            return None
        self.last = offset
        return message

    def page(self, epoch: str | None, end: int, entries: tuple[tuple[int, T], ...]) -> list[T | Gap]:
        """Take one page that was read after ``last``, with the epoch and the newest offset at that moment.

        Returns what the reader gets, gaps in their places. The track stays stale while the log holds more than the page.
        """
        if epoch is None:
            return self._vanished()
        if (self.epoch is not None and epoch != self.epoch) or end < self.last:
            gap = Gap(self.channel, "reset", self.last + 1, self.last)
            self.epoch, self.last, self.stale = epoch, 0, True
            return [gap]
        self.epoch = epoch
        out: list[T | Gap] = []
        for offset, message in entries:
            if offset <= self.last:
                continue
            if offset > self.last + 1:
                out.append(Gap(self.channel, "trimmed", self.last + 1, offset - 1))
            out.append(message)
            self.last = offset
        if not entries and end > self.last:
            out.append(Gap(self.channel, "trimmed", self.last + 1, end))
            self.last = end
        self.stale = self.last < end
        return out

    def _vanished(self) -> list[T | Gap]:
        """The session is gone, or has not begun: what comes next starts at offset 1 under a new epoch."""
        known, first = self.epoch is not None and self.last > 0, self.last + 1
        self.stale = True
        if not known:
            return []
        self.epoch, self.last = None, 0
        return [Gap(self.channel, "reset", first, first - 1)]
