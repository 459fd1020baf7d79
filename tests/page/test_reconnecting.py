"""Connections that break: it is shown, it repairs itself, and the history has every event once."""

from __future__ import annotations

from functools import partial

import pytest
from playwright.async_api import expect

from tests.browsers import Screens
from tests.conftest import MakeServer
from tests.page.house import House, OpenHouse, button, offsets, row_of, status_of
from tests.waiting import eventually
from tidings.bus import State


async def test_a_gateway_that_comes_back(house: House, screens: Screens) -> None:
    """What was said while it was away is there afterwards; nothing is missing and nothing is there twice."""
    screens.failures_expected = True
    await house.fleet.start("sea", "one")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    page = await screens.open(house.session("sea"))
    await page.evaluate("window.unbroken = true")
    await expect(page.locator(".event.agent")).to_have_count(1)
    await house.close_gateway()
    await expect(page.locator(".banner")).to_contain_text("Connection lost.")
    await expect(page.locator(".link")).to_have_text("offline")
    for text in ("two", "three"):
        await house.fleet.say("sea", text)
        await eventually(partial(_answered, house, text))
    await house.open_gateway()
    await expect(page.locator(".event.agent").last).to_contain_text("You said: three")
    await expect(page.locator(".banner")).to_be_hidden()
    await house.fleet.say("sea", "four")
    await expect(page.locator(".event.agent").last).to_contain_text("You said: four")
    assert await offsets(page) == [1, 2, 3, 4, 5, 6, 7, 8]
    texts = await page.locator(".event .text").all_inner_texts()
    assert texts == [t for word in ("one", "two", "three", "four") for t in (word, f"You said: {word}")]
    assert await page.evaluate("window.unbroken") is True


async def _answered(house: House, text: str) -> bool:
    return f"agent: You said: {text}" in await house.fleet.said("sea")


@pytest.mark.full
async def test_the_fleet_after_a_restart(house: House, screens: Screens) -> None:
    """Sessions that came, went on or were paused meanwhile are as they are, and the buttons work again."""
    screens.failures_expected = True
    await house.fleet.start("ant", "hello")
    await house.fleet.until("ant", State.AWAITING_INPUT)
    page = await screens.open(house.at("/"))
    await expect(row_of(page, "ant").locator(".word")).to_have_text("awaiting input")
    await house.close_gateway()
    await house.fleet.pause("ant")
    await house.fleet.start("bee", "hello")
    await expect(page.locator(".banner")).to_be_visible()
    await house.open_gateway()
    await expect(row_of(page, "ant").locator(".word")).to_have_text("paused")
    await expect(row_of(page, "bee").locator(".word")).to_have_text("awaiting input")
    await expect(page.locator(".row")).to_have_count(2)
    await row_of(page, "ant").click()
    await button(page, "Resume").click()
    await expect(status_of(page)).to_have_text("Waiting for your reply")


async def test_a_gateway_that_has_lost_its_redis(make_server: MakeServer, open_house: OpenHouse, screens: Screens) -> None:
    """The page says so although its own connection is well, also when that is made anew, and goes on by itself."""
    screens.failures_expected = True
    server = make_server(appendonly=True)
    house = await open_house(server.url)
    await house.fleet.start("sea", "one")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    page = await screens.open(house.session("sea"))
    await expect(page.locator(".event.agent")).to_have_count(1)
    await expect(page.locator(".link")).to_have_text("live")
    server.kill()
    await expect(page.locator(".banner")).to_contain_text("The gateway has lost its Redis.")
    await expect(page.locator(".link")).to_have_text("no Redis")
    server.start()
    await expect(page.locator(".link")).to_have_text("live")
    await expect(page.locator(".banner")).to_be_hidden()
    await house.fleet.say("sea", "two")
    await expect(page.locator(".event.agent").last).to_contain_text("You said: two")
    assert await offsets(page) == [1, 2, 3, 4]


@pytest.mark.full
async def test_who_comes_while_the_gateway_has_no_redis(make_server: MakeServer, open_house: OpenHouse, screens: Screens) -> None:
    """Is told the same, in the fleet and in a session that cannot be read; and is shown it as soon as it can be."""
    screens.failures_expected = True
    server = make_server(appendonly=True)
    house = await open_house(server.url)
    await house.fleet.start("sea", "one")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    server.kill()
    await eventually(lambda: not house.gateway.gateway.hub.bus.connected)
    pages = [await screens.open(address) for address in (house.at("/"), house.session("sea"))]
    for page in pages:
        await expect(page.locator(".banner")).to_contain_text("The gateway has lost its Redis.")
        await expect(page.locator(".link")).to_have_text("no Redis")
    await expect(row_of(pages[0], "sea").locator(".word")).to_have_text("awaiting input")
    server.start()
    for page in pages:
        await expect(page.locator(".link")).to_have_text("live")
        await expect(page.locator(".banner")).to_be_hidden()
    assert await offsets(pages[1]) == [1, 2]


async def test_what_happened_lately_is_read_when_it_can_be(house: House, screens: Screens) -> None:
    """A part that cannot be read for a while holds up nothing else, and the stream is not opened again and again for it."""
    screens.failures_expected = True
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "one")
    await house.fleet.until("sea", State.RATE_LIMITED)
    page = await screens.open(house.at("/"))
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/sessions/sea/stream" in request.url else None)
    await page.route("**/notices", lambda route: route.fulfill(status=500, body="broken"))
    await row_of(page, "sea").click()
    await expect(status_of(page)).to_contain_text("attempt 1 of 6")
    async with page.expect_response("**/notices"):
        pass
    await expect(page.locator(".notice")).to_have_count(0)
    await page.unroute("**/notices")
    await expect(page.locator(".notice", has_text="attempt 1 of 6")).to_have_count(1)
    assert len(streams) == 1


async def test_an_address_that_names_no_session(house: House, screens: Screens) -> None:
    """Whatever stands there, the page says that there is none."""
    screens.failures_expected = True
    page = await screens.open(house.at("/"))
    await page.goto(f"{house.gateway.url}/sessions/%E0%A4%A")
    await expect(page.locator(".missing")).to_contain_text("There is no session %E0%A4%A.")


async def test_somebody_who_is_not_let_in_any_more(house: House, screens: Screens) -> None:
    """The page says what to do instead of trying for ever."""
    screens.failures_expected = True
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(page.locator(".event.agent")).to_have_count(1)
    await page.context.clear_cookies()
    await house.close_gateway()
    await house.open_gateway()
    await expect(page.locator(".banner")).to_contain_text("You are not let in any more.")
    await expect(page.locator(".link")).to_have_text("ended")


async def test_a_page_that_nobody_looks_at_lets_its_connection_go(house: House, screens: Screens) -> None:
    """And has everything again when somebody comes back to it."""
    hide = """
      window.away = false;
      Object.defineProperty(document, "hidden", { get: () => window.away });
      const later = window.setTimeout;
      window.setTimeout = (f, ms, ...rest) => later(f, ms === 30000 ? 50 : ms, ...rest);
      window.look = (away) => { window.away = away; document.dispatchEvent(new Event("visibilitychange")); };
    """
    await house.fleet.start("sea", "one")
    page = await screens.open(house.session("sea"), script=hide)
    await expect(page.locator(".event.agent")).to_have_count(1)
    await page.evaluate("look(true)")
    await eventually(lambda: not house.gateway.gateway.hub.session_viewers)
    await house.fleet.say("sea", "two")
    await eventually(partial(_answered, house, "two"))
    await page.evaluate("look(false)")
    await expect(page.locator(".event.agent").last).to_contain_text("You said: two")
    assert await offsets(page) == [1, 2, 3, 4]
