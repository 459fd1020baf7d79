"""What stands above and below the sessions: the connection, the numbers, the status of one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text

from tidings.bus import Bus
from tidings.bus.redaction import one_line
from tidings.workers.terminal.feed import Feed
from tidings.workers.terminal.layout import Moment, state_piece
from tidings.workers.view import TOLD, Look, SessionView, clock

_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Count:
    """How many sessions look alike.

    Attributes:
        need_you: whether these wait for a person.
    """

    look: Look
    number: int
    need_you: bool


def count(rows: Iterable[SessionView]) -> list[Count]:
    """Count sessions by their look, the most urgent first."""
    numbers = Counter((look, row.needs_you) for row in rows if (look := row.look) is not None)
    counts = [Count(look, number, need_you) for (look, need_you), number in numbers.items()]
    return sorted(counts, key=lambda one: TOLD.index(one.look))


def connection(bus: Bus, feed: Feed, channel: str) -> Text:
    """Return the line of the connection: what matters most comes first, for terminals that have no room for the rest."""
    lost_at = feed.lost_at()
    if feed.connecting:
        state = ("connecting", "yellow")
    elif bus.connected:
        state = ("connected", "green")
    else:
        since = f"; what is shown is what was known at {clock(lost_at)}" if lost_at else ""
        state = (f"connection lost, trying again{since}", "bold red")
    times = "once" if bus.reconnects == 1 else f"{bus.reconnects} times"
    lost = f"  lost {times} so far" if bus.reconnects and bus.connected else ""
    text = Text.assemble((channel, "bold"), "  ", state, (f"{lost}  {clock(bus.now())}  {bus.address}", "dim"))
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def counts(found: Sequence[Count], total: int, shown: int, wanted: str, *, ascii_only: bool = False) -> Text:
    """Return the line of the numbers: how many sessions there are, and in which states.

    Args:
        shown: how many the filter leaves.
        wanted: the filter; '' is none.
    """
    text = Text(no_wrap=True, overflow="ellipsis")
    if wanted:
        text.append(f"{shown} of ", "bold yellow")
    text.append(f"{total} session{'' if total == 1 else 's'}", "bold")
    if wanted:
        text.append(f" with “{one_line(wanted, 40)}”", "bold yellow")
    for one in found:
        sign = one.look.ascii_sign if ascii_only else one.look.sign
        need = (" needs you" if one.number == 1 else " need you") if one.need_you else ""
        text.append(f"  {sign} {one.number} {one.look.word}{need}", one.look.colour)
    return text


def status(row: SessionView | None, session: str, moment: Moment) -> Text:
    """Return the status of a session in three lines: the state and the wait, why, and with what."""
    if row is None:
        return Text(f"nothing is known of {session} so far\n\n", "dim")
    state, colour = state_piece(row, ascii_only=moment.ascii_only)
    wait = row.wait
    left = row.countdown(moment.now)
    parts = [
        row.tried,
        (f"next try in {left}" if wait and wait.retry_at else f"goes on in {left}") if left else "",
        "no worker" if row.parked else "",
    ]
    with_what = [one_line(row.model or "", 100), f"on {one_line(row.worker, 100)}" if row.worker else ""]
    text = Text.assemble(
        (state, f"bold {colour}"),
        *((f"   {part}", "") for part in parts if part),
        "\n",
        (one_line(row.story(), _LONGEST), "bold red" if row.needs_you else ""),
        "\n",
        ("   ".join(part for part in with_what if part), "dim"),
    )
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
