"""What models, providers and people write is text: shown as it is, never run, never able to change what stands around it."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browsers import Screens
from tests.page.house import House, button, status_of
from tidings.bus import State
from tidings.workers.provider import Fault

MARKUP = '<img src=x onerror="window.broken=1"><script>window.broken=1</script><b>bold</b> &amp; "quoted"'
CONTROLS = "bell\x07 null\x00 escape\x1b[31m delete\x7f c1\x9b end"
OVERRIDE = "safe \u202egnp.exe\u202c after"


async def _said(house: House, screens: Screens, text: str) -> Page:
    await house.fleet.start("sea", text)
    await house.fleet.until("sea", State.AWAITING_INPUT)
    page = await screens.open(house.session("sea"))
    await expect(page.locator(".event")).to_have_count(2)
    return page


async def test_markup_is_shown_as_text(house: House, screens: Screens) -> None:
    """Every character of it stands on the screen, of a person and of the agent, and nothing of it is an element."""
    page = await _said(house, screens, MARKUP)
    assert await page.locator(".event.user .text").inner_text() == MARKUP
    assert await page.locator(".event.agent .text").inner_text() == f"You said: {MARKUP}"
    assert await page.locator(".events img, .events script, .events b").count() == 0
    assert await page.evaluate("window.broken") is None


async def test_markup_of_a_provider_and_of_a_reason(house: House, screens: Screens) -> None:
    """In the status line, the timeline and the fleet too."""
    house.fleet.script(_refusal(f"Slow {MARKUP}"))
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(page.locator(".deck .advice")).to_contain_text("<b>bold</b>")
    await expect(page.locator(".notice[data-type='llm.retry'] small")).to_contain_text("<b>bold</b>")
    fleet = await screens.open(house.at("/"))
    await expect(fleet.locator("#row-sea .why")).to_contain_text("<b>bold</b>")
    for one in (page, fleet):
        assert await one.locator("main b:not(.number), main img").count() == 0
        assert await one.evaluate("window.broken") is None


def _refusal(message: str) -> Fault:
    return Fault(kind="status", status=429, message=message, headers={"Retry-After": "50"})


async def test_control_characters_become_pictures(house: House, screens: Screens) -> None:
    """They are seen instead of doing something."""
    page = await _said(house, screens, CONTROLS)
    shown = await page.locator(".event.user .text").inner_text()
    assert shown == "bell\u2407 null\u2400 escape\u241b[31m delete\u2421 c1\ufffd end"


async def test_overrides_of_the_direction_are_named_and_stay_inside(house: House, screens: Screens) -> None:
    """A file name is not turned around, and text of the other direction does not reach what stands beside it."""
    page = await _said(house, screens, OVERRIDE)
    text = page.locator(".event.user .text")
    assert await text.inner_text() == "safe [U+202E]gnp.exe\u202c after"
    isolation = "node => [getComputedStyle(node).unicodeBidi, node.dir]"
    assert await text.evaluate(isolation) == ["isolate", "auto"]
    for others in await page.locator("main bdi").all():
        assert await others.evaluate("node => getComputedStyle(node).unicodeBidi") == "isolate"


async def test_right_to_left_text_reads_from_the_right(house: House, screens: Screens) -> None:
    """Arabic and Hebrew have their own direction; the frame of the message keeps ours."""
    page = await _said(house, screens, "שלום עולם")
    text = page.locator(".event.user .text")
    assert await text.evaluate("node => getComputedStyle(node).direction") == "rtl"
    assert await page.locator(".event.user header").evaluate("node => getComputedStyle(node).direction") == "ltr"


@pytest.mark.parametrize("width", [360, 1280])
async def test_a_line_of_200_kb_is_folded_and_fits(house: House, screens: Screens, width: int) -> None:
    """Its beginning is shown, all of it on demand, and the page does not become wider."""
    line = "x" * 200_000
    await house.fleet.start("sea", line)
    page = await screens.open(house.session("sea"), viewport={"width": width, "height": 740})
    text = page.locator(".event.user .text")
    more = text.get_by_role("button", name="Show all (195 KB)")
    await expect(more).to_be_visible()
    assert len(await text.inner_text()) < 5000
    await more.click()
    assert await text.inner_text() == line
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await expect(button(page, "Stop")).to_be_in_viewport()


async def test_names_with_line_breaks_stay_in_their_line(house: House, screens: Screens) -> None:
    """A reason of several lines is put into one where there is room for one."""
    await house.fleet.start("sea", "hello")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    page = await screens.open(house.session("sea"))
    await button(page, "Stop").click()
    await page.get_by_role("dialog").get_by_role("textbox").fill("it\u202e was\u0007 enough")
    await page.get_by_role("button", name="Stop for good").click()
    await expect(status_of(page)).to_contain_text("enough")
    assert "\u202e" not in await status_of(page).inner_text()
