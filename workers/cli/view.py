"""JSON lines of the command line: what became of a command, and gaps."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from tidings.bus import Gap, Message, Outcome, Result, State
from tidings.bus.messages import as_stored


class View(BaseModel):
    """A JSON line."""

    model_config = ConfigDict(frozen=True)

    def line(self) -> str:
        """Return the line."""
        return self.model_dump_json(by_alias=True)


class OutcomeView(View):
    """What became of a command.

    Attributes:
        result: ``applied``, ``refused`` or ``expired``.
        legal: commands that would have been accepted.
        warning: what will keep the session waiting.
    """

    result: Result
    command_id: str
    session: str
    reason: str | None = None
    state: State | None = None
    version: int | None = None
    legal: tuple[str, ...] = ()
    warning: str | None = None

    @classmethod
    def applied(cls, outcome: Outcome) -> Self:
        """Return what is told of a command that was applied."""
        return cls(
            result=outcome.result,
            command_id=outcome.command_id,
            session=outcome.session,
            reason=outcome.reason or None,
            state=outcome.state,
            version=outcome.version,
            legal=outcome.legal,
            warning=outcome.warning or None,
        )


class GapData(View):
    """Messages that can no longer be delivered; ``last`` is below ``first`` if it is not known how many."""

    channel: str
    why: str
    first: int
    last: int


class GapView(View):
    """A hole in a channel, in the place where the messages would have stood."""

    gap: GapData

    @classmethod
    def of(cls, gap: Gap) -> Self:
        """Return what is told of a gap."""
        return cls(gap=GapData(channel=gap.channel, why=gap.why, first=gap.first, last=gap.last))


def wire_line(item: Message[Any] | Gap) -> str:
    """Return what came out of a subscription as a JSON line: an envelope as it is on the wire, or a gap."""
    return GapView.of(item).line() if isinstance(item, Gap) else as_stored(item)
