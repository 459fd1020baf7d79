"""How retained and live messages become one sequence. Pure: no Redis, no clock, no task.

One ``OffsetTracker`` follows one channel. Live messages arrive as Pub/Sub gives them: some missing, some twice, some before the
replay that contains them. Any other offset than the next one makes the tracker ask to be read from the log, and a page from
the log puts it right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Why = Literal["trimmed", "reset", "deleted"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that can no longer be delivered, told in the place where they would have stood.

    Attributes:
        channel: ``<plane>.<session>``.
        why: ``trimmed``: retention took them; ``reset``: the log is another one than the cursor's (the data was lost, or the
            cursor lies beyond the end), and what follows starts from its beginning; ``deleted``: the session was deleted, and
            nothing follows.
        first: first offset that is missing.
        last: last offset that is missing; below ``first`` where none is, or where that cannot be known (``reset``).
    """

    channel: str
    why: Why
    first: int
    last: int


def _nameless(_: object) -> str:
    return ""


class OffsetTracker(Generic[T]):
    """The place of one reader in one channel.

    Args:
        channel: name of the channel, for the gaps.
        epoch: identity of the log that ``last`` belongs to; None where it is not known yet.
        last: newest offset that the reader has.
        last_id: id of the message there; '' where it is not known.
        identify: returns the id of a message, '' for one without.
    """

    __slots__ = ("_identify", "channel", "deleted", "epoch", "last", "last_id", "stale")

    def __init__(
        self,
        channel: str,
        epoch: str | None = None,
        last: int = 0,
        last_id: str = "",
        identify: Callable[[T], str] = _nameless,
    ) -> None:
        self.channel = channel
        self.epoch = epoch
        self.last, self.last_id = last, last_id
        self._identify = identify
        self.deleted = False
        """Whether the reader was told that the session is deleted."""
        self.stale = True
        """Whether the log must be read before a live message can be believed."""

    def live(self, epoch: str | None, offset: int | None, message: T) -> T | None:
        """Take one live message.

        Returns it when it is the next one. Otherwise None: it is known already, or the tracker has become stale.
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
        self.last, self.last_id = offset, self._identify(message)
        return message

    def page(self, epoch: str | None, end: int, entries: tuple[tuple[int, T], ...], id_before: str = "") -> list[T | Gap]:
        """Take one page that was read after ``last``, with the epoch and the newest offset at that moment.

        A server that has lost what it had not yet written to its disk keeps the epoch, and may have filled the log again past the
        reader: then another message lies where the reader's last one was.

        Args:
            id_before: id of the message at ``last`` in the log; '' where it is not retained, so that it cannot be compared.

        Returns what the reader gets, gaps in their places. The tracker stays stale while the log holds more than the page.
        """
        if epoch is None:
            return self._vanished()
        other = bool(self.last_id and id_before) and id_before != self.last_id
        if (self.epoch is not None and epoch != self.epoch) or end < self.last or other:
            gap = Gap(self.channel, "reset", self.last + 1, self.last)
            self.epoch, self.last, self.last_id, self.stale = epoch, 0, "", True
            return [gap]
        self.epoch = epoch
        out: list[T | Gap] = []
        for offset, message in entries:
            if offset <= self.last:
                continue
            if offset > self.last + 1:
                out.append(Gap(self.channel, "trimmed", self.last + 1, offset - 1))
            out.append(message)
            self.last, self.last_id = offset, self._identify(message)
        if not entries and end > self.last:
            out.append(Gap(self.channel, "trimmed", self.last + 1, end))
            self.last, self.last_id = end, ""
        self.stale = self.last < end
        return out

    def bury(self, epoch: str, end: int) -> list[T | Gap]:
        """Take the news that the session was deleted, with the epoch and the newest offset that its tombstone has.

        Returns one gap the first time, and nothing after that.
        """
        told, first = self.deleted, self.last + 1
        self.epoch, self.last, self.last_id = epoch, end, ""
        self.deleted, self.stale = True, False
        return [] if told else [Gap(self.channel, "deleted", first, max(end, first - 1))]

    def _vanished(self) -> list[T | Gap]:
        """The session is gone, or has not begun: what comes next starts at offset 1 under a new epoch."""
        known, first = self.epoch is not None and self.last > 0, self.last + 1
        self.stale = True
        if not known:
            return []
        self.epoch, self.last, self.last_id = None, 0, ""
        return [Gap(self.channel, "reset", first, first - 1)]
