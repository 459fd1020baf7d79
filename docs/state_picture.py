"""The picture of the states: where things stand is set by hand, what is drawn comes from the table.

Two frames keep it readable. What every state within a frame has in common is drawn once, from the frame; everything else is
one arrow for each pair of states. A row of the table that has no arrow, or an arrow without a row, is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal
from xml.sax.saxutils import escape

from tidings.bus.states import FINAL, HELD, TABLE, State, Trigger

WIDTH, HEIGHT = 1140, 712
NODE_W, NODE_H = 152, 64
LABEL = 13
"""Size of the labels; a letter of a wide font takes about 0.62 of it."""


class Frame(Enum):
    """States that are drawn together."""

    OPEN = "every session that is not over"
    HELD = "with a worker, or parked"

    @property
    def members(self) -> tuple[State, ...]:
        """The states within the frame."""
        return tuple(state for state in State if (state in HELD if self is Frame.HELD else state not in FINAL))


Source = State | Frame | None
Edges = dict[tuple[Source, State], tuple[Trigger, ...]]


@dataclass(frozen=True)
class Node:
    """Where a state stands, who has it, and what that means in three words."""

    x: int
    y: int
    holder: Literal["ready", "worker", "person", "trouble", "final"]
    words: str


@dataclass(frozen=True)
class Route:
    """The way of an arrow as an SVG path, and where its label stands."""

    path: str
    x: int
    y: int
    anchor: Literal["start", "middle", "end"] = "middle"


NODES: Mapping[State, Node] = {
    State.PAUSED: Node(155, 140, "person", "a person holds it"),
    State.AWAITING_INPUT: Node(400, 140, "person", "a person speaks next"),
    State.QUEUED: Node(400, 320, "ready", "wants a worker"),
    State.ERROR: Node(400, 500, "trouble", "a person decides"),
    State.RUNNING: Node(748, 200, "worker", "a worker is at it"),
    State.RETRYING: Node(1008, 320, "worker", "waits, or is parked"),
    State.RATE_LIMITED: Node(748, 440, "worker", "waits, or is parked"),
    State.STOPPED: Node(400, 662, "final", "a person ended it"),
    State.FINISHED: Node(852, 662, "final", "the agent ended it"),
    State.DELETED: Node(626, 662, "final", "only its name is left"),
}

FRAMES: Mapping[Frame, tuple[int, int, int, int]] = {Frame.OPEN: (56, 38, 1062, 554), Frame.HELD: (612, 92, 490, 456)}
"""Left, top, width and height; the later lies within the earlier."""

START = (26, 320)

_LEFT_OUT = (Trigger.REPORT, Trigger.HAND_BACK, Trigger.LOSE)
"""What leaves states as they are and is not named within their boxes."""

ROUTES: Mapping[tuple[Source, State], Route] = {
    (None, State.QUEUED): Route("M34,320 H322", 140, 312),
    (Frame.OPEN, State.PAUSED): Route("M155,38 V106", 165, 82, "start"),
    (Frame.OPEN, State.STOPPED): Route("M400,592 V628", 410, 616, "start"),
    (Frame.OPEN, State.DELETED): Route("M626,592 V628", 636, 616, "start"),
    (State.STOPPED, State.DELETED): Route("M476,662 H548", 512, 654),
    (State.FINISHED, State.DELETED): Route("M776,662 H704", 739, 654),
    (Frame.HELD, State.FINISHED): Route("M852,548 V628", 862, 616, "start"),
    (Frame.HELD, State.AWAITING_INPUT): Route("M612,140 H478", 545, 132),
    (State.RUNNING, State.QUEUED): Route("M672,222 C610,222 600,306 478,306", 576, 272),
    (State.RETRYING, State.QUEUED): Route("M932,330 H478", 540, 346),
    (Frame.HELD, State.ERROR): Route("M612,500 H478", 545, 492),
    (State.QUEUED, State.RUNNING): Route("M446,288 C446,220 540,200 670,200", 545, 198),
    (State.RATE_LIMITED, State.QUEUED): Route("M672,440 C540,440 446,420 446,354", 545, 456),
    (State.AWAITING_INPUT, State.QUEUED): Route("M400,172 V286", 410, 234, "start"),
    (State.ERROR, State.QUEUED): Route("M400,468 V354", 390, 416, "end"),
    (State.PAUSED, State.QUEUED): Route("M155,172 C155,250 230,296 322,304", 168, 254, "end"),
    (State.PAUSED, State.AWAITING_INPUT): Route("M231,140 H322", 276, 132),
    (State.RUNNING, State.RATE_LIMITED): Route("M724,232 V406", 716, 324, "end"),
    (State.RATE_LIMITED, State.RUNNING): Route("M772,408 V234", 780, 324, "start"),
    (State.RUNNING, State.RETRYING): Route("M824,186 C948,186 1034,212 1034,286", 988, 204, "start"),
    (State.RETRYING, State.RUNNING): Route("M976,288 C976,246 938,214 826,214", 832, 243, "start"),
    (State.RATE_LIMITED, State.RETRYING): Route("M824,454 C948,454 1034,428 1034,354", 988, 446, "start"),
    (State.RETRYING, State.RATE_LIMITED): Route("M976,352 C976,394 938,426 826,426", 832, 407, "start"),
}


def edges() -> Edges:
    """Return what is drawn: the triggers that lead from a state, or from every state of a frame, to another.

    Each row of the table is in exactly one of them. A state that leads to itself is among them too.
    """
    rows = dict(TABLE)
    found: Edges = {}
    for source, to in ROUTES:
        if isinstance(source, Frame):
            shared = [trigger for trigger in Trigger if all(rows.get((state, trigger)) is to for state in source.members)]
            found[source, to] = tuple(shared)
            for pair in ((state, trigger) for state in source.members for trigger in shared):
                del rows[pair]
    for (state, trigger), to in rows.items():
        found[state, to] = (*found.get((state, to), ()), trigger)
    return {key: tuple(sorted(triggers, key=list(Trigger).index)) for key, triggers in found.items()}


def arrows() -> dict[tuple[Source, State], str]:
    """Return the arrows and their labels.

    Raises:
        ValueError: an arrow has no route, or a route no arrow; the text names them.
    """
    labels = {key: ", ".join(triggers) for key, triggers in edges().items() if key[0] is not key[1] and triggers}
    if astray := labels.keys() ^ ROUTES.keys():
        names = ", ".join(sorted(f"{source} -> {to}" for source, to in astray))
        raise ValueError(f"the table has changed; give these a route in docs/state_picture.py, or take theirs away: {names}")
    return labels


def boxes() -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """Yield what must not overlap: every state and every label, with its left, top, right and bottom."""
    for state, node in NODES.items():
        yield state, (node.x - NODE_W / 2, node.y - NODE_H / 2, node.x + NODE_W / 2, node.y + NODE_H / 2)
    for key, label in arrows().items():
        route, width = ROUTES[key], len(label) * LABEL * 0.62
        left = route.x - width * {"start": 0, "middle": 0.5, "end": 1}[route.anchor]
        yield label, (left, route.y - LABEL, left + width, route.y + 3)


def draw() -> str:
    """Return the picture as SVG.

    Raises:
        ValueError: the picture and the table do not agree.
    """
    parts = [_HEAD, *(_frame(frame, *place) for frame, place in FRAMES.items())]
    parts += [f'<circle class="start" cx="{START[0]}" cy="{START[1]}" r="8"/>']
    labels = arrows()
    parts += [f'<path class="arrow" d="{ROUTES[key].path}"/>' for key in labels]
    parts += [_label(ROUTES[key], label) for key, label in labels.items()]
    # Said once in states.md, these would only make the boxes too wide.
    stays = {
        key[0]: tuple(trigger for trigger in triggers if trigger not in _LEFT_OUT)
        for key, triggers in edges().items()
        if key[0] is key[1]
    }
    parts += [_node(state, node, stays.get(state, ())) for state, node in NODES.items()]
    return "\n".join([*parts, "</svg>\n"])


def _frame(frame: Frame, x: int, y: int, width: int, height: int) -> str:
    box = f'<rect class="frame {frame.name.lower()}" x="{x}" y="{y}" width="{width}" height="{height}" rx="14"/>'
    return f'{box}\n<text class="note" x="{x + width - 14}" y="{y + 22}" text-anchor="end">{escape(frame.value)}</text>'


def _label(route: Route, label: str) -> str:
    return f'<text class="label" x="{route.x}" y="{route.y}" text-anchor="{route.anchor}">{escape(label)}</text>'


def _node(state: State, node: Node, stays: tuple[Trigger, ...]) -> str:
    lines = [("name", state.replace("_", " ").upper()), ("words", node.words)]
    lines += [("words", f"↺ {', '.join(stays)}")] if stays else []
    top = node.y + (-12 if stays else -4)
    box = f'<rect class="node {node.holder}" x="{node.x - NODE_W // 2}" y="{node.y - NODE_H // 2}"'
    texts = [
        f'<text class="{kind}" x="{node.x}" y="{top + number * 17}" text-anchor="middle">{escape(text)}</text>'
        for number, (kind, text) in enumerate(lines)
    ]
    return "\n".join([f'{box} width="{NODE_W}" height="{NODE_H}" rx="9"/>', *texts])


_HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" \
aria-labelledby="title desc">
<title id="title">The states of a session</title>
<desc id="desc">What leads from one state to another; the same as the table in states.md. Written by make_states.py.</desc>
<style>
text {{ font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2328; }}
.page {{ fill: #ffffff; }}
.name {{ font-size: 14px; font-weight: 700; }}
.words {{ font-size: 11.5px; }}
.note {{ font-size: 12px; font-style: italic; fill: #57606a; }}
.label {{ font-size: {LABEL}px; paint-order: stroke; stroke: #f6f8fa; stroke-width: 4px; stroke-linejoin: round; }}
.arrow {{ fill: none; stroke: #57606a; stroke-width: 1.6; marker-end: url(#head); }}
.head, .start {{ fill: #57606a; }}
.frame {{ fill: #f6f8fa; stroke: #afb8c1; stroke-width: 1.4; stroke-dasharray: 7 5; }}
.node {{ stroke-width: 1.8; }}
.ready {{ fill: #ffffff; stroke: #57606a; }}
.worker {{ fill: #ddf4ff; stroke: #0969da; }}
.person {{ fill: #fff8c5; stroke: #9a6700; }}
.trouble {{ fill: #ffebe9; stroke: #cf222e; }}
.final {{ fill: #eaeef2; stroke: #24292f; stroke-width: 3; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }}
.page {{ fill: #0d1117; }}
.note {{ fill: #9198a1; }}
.label {{ stroke: #151b23; }}
.arrow {{ stroke: #9198a1; }}
.head, .start {{ fill: #9198a1; }}
.frame {{ fill: #151b23; stroke: #3d444d; }}
.ready {{ fill: #0d1117; stroke: #9198a1; }}
.worker {{ fill: #10263f; stroke: #4493f8; }}
.person {{ fill: #312a12; stroke: #d29922; }}
.trouble {{ fill: #3b1a1c; stroke: #f85149; }}
.final {{ fill: #262c36; stroke: #d1d7e0; }}
}}
</style>
<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse">\
<path class="head" d="M0,0 L10,5 L0,10 z"/></marker></defs>
<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="12"/>"""
