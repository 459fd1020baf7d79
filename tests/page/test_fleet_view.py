"""The fleet on the screen: every session a row, what needs a person on top, and still quick when there are many."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import expect

from tests.browsers import Screens
from tests.page.house import House, OpenHouse, row_of, status_of
from tests.waiting import eventually
from tidings.bus import Bus, Presence, Role, State, WorkerRef

PLACES = "nodes => nodes.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top).map(n => n.innerText)"


async def _many(url: str, count: int) -> None:
    """Make sessions that a worker holds, while nobody listens yet: that is quicker."""
    worker = WorkerRef(name="busy")

    async def make(bus: Bus, numbers: range) -> None:
        for number in numbers:
            await bus.worker.claim(worker, session=f"s-{number:05}", create=True)

    async with Bus.connect(url) as bus:
        await asyncio.gather(*(make(bus, range(first, count, 8)) for first in range(8)))


@pytest.mark.parametrize("many", [500, pytest.param(10_000, marks=pytest.mark.full)])
async def test_ten_thousand_sessions(house_url: str, open_house: OpenHouse, screens: Screens, many: int) -> None:
    """Only the rows in sight are in the document; the last one can be reached, and the filter finds one among them."""
    last, found = f"s-{many - 1:05}", f"s-{many * 7 // 9:05}"
    await _many(house_url, many)
    house = await open_house(workers=0, controllers=0)
    page = await screens.open(house.at("/"))
    await expect(page.locator(".count")).to_have_text(f"{many:,} sessions")
    assert 5 < await page.locator(".row").count() < 60
    await expect(page.locator(".grid")).to_have_attribute("aria-rowcount", str(many + 1))
    await page.keyboard.press("j")
    await page.keyboard.press("End")
    await expect(row_of(page, last)).to_be_in_viewport()
    await expect(row_of(page, last)).to_have_attribute("aria-selected", "true")
    assert await page.locator(".row").count() < 60
    await page.keyboard.press("/")
    await page.keyboard.type(found)
    await expect(page.locator(".row")).to_have_count(1)
    await expect(page.locator(".count")).to_have_text(f"1 of {many:,} sessions")
    await expect(row_of(page, found)).to_be_in_viewport()


async def test_what_is_looked_for_stays_in_the_address(house: House, screens: Screens) -> None:
    """A state and words are kept over a visit to a session and over loading the page anew."""
    await house.fleet.start("ant", "hello")
    await house.fleet.start("bee", "hello")
    await house.fleet.until("bee", State.AWAITING_INPUT)
    await house.fleet.until("ant", State.AWAITING_INPUT)
    await house.fleet.pause("bee")
    page = await screens.open(house.at("/"))
    await expect(page.locator(".row")).to_have_count(2)
    await page.locator(".chip", has_text="Paused").click()
    await expect(page.locator(".row .session a")).to_have_text(["bee"])
    await page.get_by_label("Filter the sessions").fill("bee paused")
    await expect(page).to_have_url(re.compile(r"/\?state=paused&text=bee\+paused$"))
    await row_of(page, "bee").click()
    await expect(status_of(page)).to_contain_text("Paused")
    await page.keyboard.press("Escape")
    await expect(page.locator(".count")).to_have_text("1 of 2 sessions")
    await page.reload()
    await expect(page.locator(".row .session a")).to_have_text(["bee"])
    await page.get_by_label("Filter the sessions").fill("nothing like this")
    await expect(page.locator(".empty").filter(has_text="No session is like that.")).to_be_visible()
    await page.get_by_role("button", name="Show all").click()
    await expect(page.locator(".row")).to_have_count(2)


async def test_the_strip_says_who_is_alive(house: House, screens: Screens) -> None:
    """Workers and controllers by number and by name, and the retries of the last minutes as a chart that can be read out."""
    page = await screens.open(house.at("/"))
    tiles = page.locator(".tile")
    await expect(tiles.nth(0).locator(".figure")).to_have_text("1")
    await expect(tiles.nth(0)).to_contain_text("of 1 slot busy")
    await expect(tiles.nth(1).locator(".figure")).to_have_text("1")
    await page.get_by_text("Workers and controllers by name").click()
    await expect(page.locator(".processes tbody tr")).to_have_count(2)
    await house.fleet.bus.admin.attend(Presence(role=Role.WORKER, name="new", concurrency=3, starting=True))
    await expect(tiles.nth(0)).to_contain_text("of 4 slots busy, 1 starting")
    await expect(page.locator(".processes tr", has_text="new")).to_contain_text("starting")
    house.fleet.script("429:retry-after=0.1", "500:retry-after=0.1")
    await house.fleet.start("sea", "hello")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    # Two in one minute; one in each of two where the minute changed in between.
    retries = page.get_by_role("img", name=re.compile(r"Retries a minute in the last 15 minutes: .*at most [12]"))
    await expect(retries).to_be_visible()
    await expect(page.get_by_role("img", name=re.compile(r"Refused calls a minute .*at most 1"))).to_be_visible()


async def test_a_row_stays_where_it_is_while_it_waits_and_runs(house: House, screens: Screens) -> None:
    """Rows at work stand by name; only what needs a person, rests or is over changes its place."""
    house.fleet.script("429:retry-after=50", "429:retry-after=50")
    await house.fleet.start("bee", "hello")
    await house.fleet.until("bee", State.RATE_LIMITED)
    await house.fleet.start("ant", "hello")
    page = await screens.open(house.at("/"))
    names = page.locator(".row .session a")
    await expect(row_of(page, "bee").locator(".word")).to_have_text("rate limited")
    await expect(names).to_have_count(2)
    assert await names.evaluate_all(PLACES) == ["ant", "bee"]
    await house.fleet.pause("ant")
    await expect(row_of(page, "ant").locator(".word")).to_have_text("paused")

    async def moved() -> bool:
        return bool(await names.evaluate_all(PLACES) == ["bee", "ant"])

    await eventually(moved)


async def test_who_comes_back_finds_the_session_selected(house: House, screens: Screens) -> None:
    """After Escape the next key goes on from where one was, also in a long list."""
    for number in range(40):
        await house.fleet.start(f"s{number}")
        await house.fleet.until(f"s{number}", State.AWAITING_INPUT)
    page = await screens.open(house.at("/"))
    await expect(page.locator(".count")).to_have_text("40 sessions")
    for _ in range(38):
        await page.keyboard.press("j")
    await expect(row_of(page, "s37")).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("Enter")
    await expect(page.locator(".title h1")).to_have_text("s37")
    await page.keyboard.press("Escape")
    await expect(row_of(page, "s37")).to_have_attribute("aria-selected", "true")
    await expect(row_of(page, "s37")).to_be_in_viewport()
    await page.keyboard.press("j")
    await expect(row_of(page, "s38")).to_have_attribute("aria-selected", "true")
