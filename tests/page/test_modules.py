"""The parts of the page that need no document: order of the rows, wording, back-off; run in the browser that will run them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.async_api import Page

from tests.browsers import Screens
from tests.page.house import House
from tests.workers.view.drawn import SESSIONS, TEXTS
from tidings.workers.view import Roster, SessionView, age, duration, searching, view_json

FEW = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def _run(page: Page, module: str, body: str, argument: object = None) -> Any:
    """Run a function body with a module as `it` and an argument as `given`."""
    return await page.evaluate(f"async (given) => {{ const it = await import('/static/{module}.js'); {body} }}", argument)


_URGENCY = {"error": 0, "awaiting_input": 2, "finished": 3}


def _row(session: str, state: str = "running", **more: object) -> dict[str, object]:
    return {
        "session": session,
        "state": state,
        "needs_you": state == "error",
        "urgency": _URGENCY.get(state, 1),
        "parked": False,
        "parent": None,
        "name": None,
    } | more


ORDER = """
  const roster = new it.Roster();
  for (const row of given.rows) roster.put(row);
  for (const session of given.gone ?? []) roster.remove(session);
  return roster.shown({ state: "", text: "", ...given.wanted }).map(({ row, depth }) => [row.session, depth]);
"""


async def test_the_order_of_the_rows(house: House, screens: Screens) -> None:
    """What needs a person, what is at work, what rests, what is over; by name within, numbers as numbers; families together."""
    page = await screens.open(house.at("/"))
    rows = [
        _row("s10"),
        _row("s9", "rate_limited"),
        _row("done", "finished"),
        _row("rest", "awaiting_input"),
        _row("bad", "error"),
        _row("team", "awaiting_input"),
        _row("kid-2", "error", parent="team", name="beta"),
        _row("kid-1", "running", parent="team", name="alpha"),
        _row("grandkid", "running", parent="kid-1", name="x"),
        _row("orphan", "running", parent="nobody", name="y"),
    ]
    assert await _run(page, "roster", ORDER, {"rows": rows}) == [
        ["bad", 0],
        ["team", 0],
        ["kid-2", 1],
        ["kid-1", 1],
        ["grandkid", 2],
        ["orphan", 0],
        ["s9", 0],
        ["s10", 0],
        ["rest", 0],
        ["done", 0],
    ]
    found = await _run(page, "roster", ORDER, {"rows": rows, "wanted": {"text": "KID"}})
    assert found == [["kid-2", 0], ["kid-1", 0], ["grandkid", 1]]
    assert await _run(page, "roster", ORDER, {"rows": rows, "wanted": {"state": "needs_you"}}) == [["bad", 0], ["kid-2", 0]]
    assert await _run(page, "roster", ORDER, {"rows": rows[:2], "gone": ["s9"]}) == [["s10", 0]]


async def test_a_ring_of_parents_loses_no_row(house: House, screens: Screens) -> None:
    """Rows that name each other as parents, which no honest gateway tells, are shown all the same."""
    page = await screens.open(house.at("/"))
    rows = [_row("a", parent="b"), _row("b", parent="a"), _row("c", parent="c"), _row("d")]
    shown = await _run(page, "roster", ORDER, {"rows": rows})
    assert sorted(session for session, _ in shown) == ["a", "b", "c", "d"]


WAIT = {
    "llm": "agent",
    "model": "openai/x",
    "reason": "server_error",
    "attempt": 1,
    "max_attempts": 6,
    "retry_at": "2100-01-01T00:00:00Z",
    "asked_at": None,
}
SAYS = """
  const plain = (text) => text.replace(/ in .*?, at .*?\\./, " in N, at T.");
  const told = (row) => (row.wait && !row.parked ? it.waitStory(row.wait) : plain(it.idleStory(row)));
  return given.map((row) => [it.attemptOf(row), it.storyOf(row), it.nextAt(row), it.lookOf(row), told(row), it.advice(row)]);
"""


async def test_what_a_call_that_failed_is_said_to_do(house: House, screens: Screens) -> None:
    """It waits, is asked again, or no worker waits: in an outage after all attempts, or given back in the first wait."""
    page = await screens.open(house.at("/"))
    told = {"model": "openai/x", "message": "bad gateway", "action": "Look at the status page.", "word": "retrying later"}
    late: dict[str, Any] = {"parked": True, "resume_at": WAIT["retry_at"], "reason": "server_error"}
    rows = [
        _row("waits", "retrying", wait=WAIT, reason="server_error", **told),
        _row("asked", "running", wait=WAIT | {"asked_at": "2026-11-23T00:00:00Z"}, reason=None, **told),
        _row("outage", "retrying", wait=WAIT | {"attempt": 6, "retry_at": None}, **told, **late),
        _row("handed back", "retrying", wait=WAIT, **told, **late),
    ]
    helps, later = "bad gateway Look at the status page.", "Retrying later: server error at openai/x"
    said = "server error · bad gateway"
    nobody = "goes on in N, at T. No worker holds it until then"
    assert await _run(page, "states", SAYS, rows) == [
        ["1/6", said, WAIT["retry_at"], "retrying", "Retrying openai/x (server error): attempt 1 of 6", helps],
        [
            "2/6",
            "after server error · bad gateway",
            None,
            "running",
            "Asking openai/x again (after server error): attempt 2 of 6 under way",
            "bad gateway",
        ],
        ["6/6", f"{said} · Look at the status page.", WAIT["retry_at"], "parked", f"{later}, {nobody}", helps],
        [
            "1/6",
            f"{said} · Look at the status page.",
            WAIT["retry_at"],
            "parked",
            f"{later}, attempt 1 of 6 failed, {nobody}",
            helps,
        ],
    ]


async def test_times_are_written_as_in_the_terminal(house: House, screens: Screens) -> None:
    """One notation of how long something takes, and of how long ago it was."""
    page = await screens.open(house.at("/"))
    seconds = [-3, 0, 0.2, 1, 59, 59.2, 60, 61.5, 3599, 3600, 7385, 86_399, 86_400, 200_000, 1e9]
    assert await _run(page, "wording", "return given.map(it.duration)", seconds) == [duration(one) for one in seconds]
    assert await _run(page, "wording", "return given.map(it.age)", seconds) == [age(one) for one in seconds]


SHOWN = """
  return given.map(({ rows, text }) => {
    const roster = new it.Roster();
    for (const row of rows) roster.put(row);
    return roster.shown({ state: "", text }).map(({ row, depth }) => [row.session, depth]);
  });
"""
_KIN = st.builds(
    replace,
    SESSIONS,
    session=st.sampled_from(["a", "B", "c2", "c10", "c010", "d-1", "d_1"]),
    parent=st.sampled_from([None, "a", "B", "c2", "c10", "gone"]),
    name=st.none() | st.sampled_from(["x1", "X02", "x10", "y"]),
)
_WORDS = st.sampled_from(["", "c", "running", "X0 c", "rate limit", "gone", "starting", "Needs", "gpu", "team=R", "é"])


async def test_order_and_search_are_those_of_the_terminal(house: House, screens: Screens) -> None:
    """The same rows, in whatever families and with whatever in them, stand in the same order and are found by the same words."""
    page = await screens.open(house.at("/"))
    cases: list[tuple[list[SessionView], str]] = []

    @settings(FEW, max_examples=150)
    @given(st.lists(_KIN, unique_by=lambda row: row.session, max_size=7), _WORDS | TEXTS)
    def collect(rows: list[SessionView], text: str) -> None:
        cases.append((rows, text))

    collect()
    # A blank to Python and none to JavaScript.
    cases.append(([SessionView(session="w", why="¤")], "W\x1e¤"))
    given_rows = [{"rows": [json.loads(view_json(row)) for row in rows], "text": text} for rows, text in cases]
    shown = await _run(page, "roster", SHOWN, given_rows)
    for (rows, text), found in zip(cases, shown, strict=True):
        roster = Roster()
        for row in rows:
            roster.put(row)
        assert found == [[placed.row.session, placed.depth] for placed in roster.shown(searching(text))], (rows, text)


async def test_legible_text_holds_no_control_and_no_override(house: House, screens: Screens) -> None:
    """Whatever the text, and nothing else of it is changed."""
    page = await screens.open(house.at("/"))
    texts: list[str] = []

    @FEW
    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    texts += ["a\r\nb\rc\td\n", "\x00\x1b\x7f\x85\u202e\u202d\u2066x\u2069"]
    shown: list[str] = await _run(page, "wording", "return given.map(it.legible)", texts)
    for text, made in zip(texts, shown, strict=True):
        assert not [
            one for one in made if one in "\u202d\u202e" or (ord(one) < 32 and one not in "\t\n") or 127 <= ord(one) < 160
        ]
        if text.isprintable():
            assert made == text, json.dumps(text)


async def test_waits_between_tries_grow_to_a_bound_and_vary(house: House, screens: Screens) -> None:
    """From half a second to a quarter of a minute, by a quarter more or less, so that pages do not come back all at once."""
    page = await screens.open(house.at("/"))
    body = "return [0, 0.5, 1].map((random) => [1, 2, 3, 20].map((tries) => it.backOff(tries, random)))"
    least, middle, most = await _run(page, "stream", body)
    assert middle == [500, 1000, 2000, 15_000]
    assert least == [0.75 * wait for wait in middle]
    assert most == [1.25 * wait for wait in middle]


async def test_charts_are_read_out(house: House, screens: Screens) -> None:
    """The greater one of the minute under way and the one before, the greatest of all, and how much was not seen."""
    page = await screens.open(house.at("/"))
    body = "return [[null, 9, 0, 4, 2], [null], []].map((values) => it.inWords('Retries a minute', values))"
    assert await _run(page, "chart", body) == [
        "Retries a minute in the last 5 minutes: lately 4, at most 9, the first 1 not seen",
        "Retries a minute: nothing seen yet",
        "Retries a minute: nothing seen yet",
    ]
