"""The commentary: what the program that opened the view says beside the sessions."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Commentary:
    """The program writes here, and the view shows it above the sessions the next time that it is drawn.

    Attributes:
        lines: what was said, oldest first; only added to.
        hang: columns by which the rest of a line is set in where the line is too long for the screen.
        hint: one line that changes in place: what a person can do at the moment.
        selected: the session that the keys are meant for, from the moment that it is set until a person selects another.
        over: whether the view is to end.
    """

    lines: list[str] = field(default_factory=list)
    hang: int = 0
    hint: str = ""
    selected: str = ""
    over: bool = False
