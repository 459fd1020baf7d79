"""The page for everybody: contrast, narrow screens, the keyboard alone, few words to a screen reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from tests.browsers import Screens
from tests.page.house import House, button, record, row_of, status_of
from tidings.bus import State
from tidings.workers import gateway
from tidings.workers.provider import Fault

AA_TEXT, AA_CONTROL = 4.5, 3.0
"""Least contrast of text and of what a control is known by: WCAG 2.2, 1.4.3 and 1.4.11."""
STYLE = Path(gateway.__file__).parent / "page" / "style.css"
INKS = ("ink", "soft", "accent", "queued", "running", "retrying", "limited", "awaiting", "paused", "error", "finished", "stopped")
GROUNDS = ("paper", "panel", "raised")

# Paints each colour over the one below it on a canvas, so that whatever notation a style has, a pixel is what is compared.
CONTRASTS = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    canvas.fillStyle = "white";
    canvas.fillRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.closest("svg, .unseen, .skip, noscript, :disabled")) continue;
    const grounds = [];
    for (let up = node; up; up = up.parentElement) grounds.unshift(getComputedStyle(up).backgroundColor);
    const ink = light(paint([...grounds, getComputedStyle(node).color]));
    const ground = light(paint(grounds));
    found.push([(Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05), node.textContent.trim().slice(0, 40)]);
  }
  return found;
}
"""

NAMELESS = """
() => [...document.querySelectorAll("button, a, input, textarea, [role=grid], [role=region]")]
  .filter((node) => node.checkVisibility() && !(node.textContent.trim() || node.ariaLabel || node.title || node.labels?.length))
  .map((node) => node.outerHTML.slice(0, 100))
"""


def _tokens() -> dict[str, tuple[str, str]]:
    """Return the colours of the page by name: light, dark."""
    found = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", STYLE.read_text())
    return {name: (light, dark) for name, light, dark in found}


def _luminance(colour: str) -> float:
    """Return the relative luminance as WCAG 2.2 defines it."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _pairs() -> Iterator[tuple[str, str, float]]:
    for ground in GROUNDS:
        yield from ((ink, ground, AA_TEXT) for ink in INKS)
        yield ("control", ground, AA_CONTROL)
    yield ("on-accent", "accent", AA_TEXT)


@pytest.mark.parametrize(("ink", "ground", "least"), [*_pairs()])
def test_the_tokens_have_contrast(ink: str, ground: str, least: float) -> None:
    """Each colour of text on each ground it may stand on, light and dark."""
    tokens = _tokens()
    for scheme in (0, 1):
        assert _contrast(tokens[ink][scheme], tokens[ground][scheme]) >= least


async def _staged(house: House) -> None:
    """Have sessions in most states."""
    house.fleet.script(
        Fault(kind="status", status=429, message="Slow down.", headers={"Retry-After": "50"}, contains="wait"),
        Fault(kind="status", status=401, contains="fail"),
        Fault(kind="quota", contains="empty"),
    )
    for name in ("rest", "fail", "empty", "stop"):
        await house.fleet.start(name, name)
    await house.fleet.until("rest", State.AWAITING_INPUT)
    await house.fleet.until("fail", State.ERROR)
    await house.fleet.until("empty", State.RATE_LIMITED)
    await house.fleet.until("stop", State.AWAITING_INPUT)
    await house.fleet.stop("stop")
    await house.fleet.start("wait", "wait")
    await house.fleet.start("queued", "queued")
    await house.fleet.start("pause", "pause")
    await house.fleet.pause("pause")


@pytest.mark.full
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_what_is_rendered_has_contrast(house: House, screens: Screens, scheme: Literal["light", "dark"]) -> None:
    """Every piece of text on the screen against what lies behind it, in the fleet, in a session and in a dialog."""
    await _staged(house)
    page = await screens.open(house.at("/"), color_scheme=scheme, viewport={"width": 1280, "height": 1400})
    await expect(page.locator(".row")).to_have_count(7)
    await _check_contrast(page)
    await page.get_by_role("button", name="Start a session").click()
    await _check_contrast(page)
    for session in ("wait", "fail", "pause"):
        page = await screens.open(house.session(session), color_scheme=scheme)
        await expect(page.locator(".event")).not_to_have_count(0)
        await expect(page.locator(".timeline .notice")).not_to_have_count(0)
        await _check_contrast(page)


async def _check_contrast(page: Page) -> None:
    found: list[Any] = await page.evaluate(CONTRASTS)
    assert len(found) > 10
    assert [(round(ratio, 2), text) for ratio, text in found if ratio < AA_TEXT] == []


async def test_the_colours_can_be_chosen_and_are_remembered(house: House, screens: Screens) -> None:
    """Auto, light, dark; what was chosen is there before the first paint of the next visit."""
    page = await screens.open(house.at("/"), color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(ground)
    toggle = page.get_by_role("button", name="Colours")
    await toggle.click()
    await toggle.click()
    await expect(toggle).to_have_attribute("aria-label", "Colours: dark. Change.")
    dark = await page.evaluate(ground)
    assert dark != light
    await page.reload()
    assert await page.evaluate(ground) == dark


@pytest.mark.full
@pytest.mark.parametrize("width", [360, 768, 1024, 1440])
async def test_nothing_scrolls_sideways(house: House, screens: Screens, width: int) -> None:
    """Fleet and session fit, and what matters most is in sight."""
    await _staged(house)
    page = await screens.open(house.at("/"), viewport={"width": width, "height": 740})
    await expect(page.locator(".row")).not_to_have_count(0)
    fits = "document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= innerWidth"
    assert await page.evaluate(fits)
    await page.goto(f"{house.gateway.url}/sessions/wait")
    await expect(status_of(page)).to_contain_text("attempt 1 of 6")
    assert await page.evaluate(fits)
    for seen in (
        status_of(page),
        button(page, "Resume"),
        button(page, "Stop"),
        page.locator("#say-text"),
        page.locator(".event"),
    ):
        await expect(seen).to_be_in_viewport()


@pytest.mark.full
async def test_the_description_of_the_api_fits_a_telephone(house: House, screens: Screens) -> None:
    """Its tables and examples too: long lines are broken."""
    page = await screens.open(house.at("/"), viewport={"width": 360, "height": 740})
    await page.goto(f"{page.url.rstrip('/')}/api")
    await expect(page.locator("h1")).to_contain_text("Tidings")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.full
async def test_at_twice_the_size_on_a_low_screen_all_can_be_reached(house: House, screens: Screens) -> None:
    """Where there is no room for two fixed bars, the page scrolls as a whole."""
    await _staged(house)
    page = await screens.open(house.session("wait"), viewport={"width": 640, "height": 360})
    await expect(status_of(page)).to_contain_text("attempt 1 of 6")
    await page.locator("#say-text").scroll_into_view_if_needed()
    await expect(page.locator("#say-text")).to_be_in_viewport(ratio=0.9)
    await page.locator(".event.user").scroll_into_view_if_needed()
    await expect(page.locator(".event.user .text")).to_be_in_viewport(ratio=0.9)


async def test_the_keyboard_alone_is_enough(house: House, screens: Screens) -> None:
    """From the filter to a session, its wait ended, something said, stopped, and back, without a mouse."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("ant", "hello")
    await house.fleet.start("bee", "hello")
    page = await screens.open(house.at("/"))
    keys = page.keyboard
    await expect(page.locator(".row")).to_have_count(2)
    await keys.press("Tab")
    await expect(page.get_by_text("Skip to the content")).to_be_focused()
    await keys.press("/")
    await keys.type("ant")
    await expect(page.locator(".row")).to_have_count(1)
    await keys.press("Enter")
    await expect(row_of(page, "ant")).to_have_attribute("aria-selected", "true")
    await expect(page.locator(".grid")).to_have_attribute("aria-activedescendant", "row-ant")
    await keys.press("Enter")
    await expect(status_of(page)).to_contain_text("attempt 1 of 6")
    await keys.press("r")
    await expect(page.locator(".event.agent")).to_contain_text("You said: hello")
    await expect(status_of(page)).to_have_text("Waiting for your reply")
    await keys.press("/")
    await keys.type("rps?")
    await expect(page.locator("#say-text")).to_have_value("rps?")
    await keys.press("Enter")
    await expect(page.locator(".event.agent").last).to_contain_text("You said: rps?")
    await keys.press("Escape")
    await keys.press("s")
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(status_of(page)).to_contain_text("Stopped")
    await keys.press("Escape")
    await expect(page.locator(".grid")).to_be_visible()


@pytest.mark.full
async def test_what_has_the_focus_shows_it(house: House, screens: Screens) -> None:
    """Every stop of the Tab key has an outline, and the skip link comes into sight."""
    await house.fleet.start("sea", "hello")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    page = await screens.open(house.session("sea"))
    await expect(page.locator(".event.agent")).to_have_count(1)
    seen = set()
    for _ in range(12):
        await page.keyboard.press("Tab")
        name, style = await page.evaluate(
            "[document.activeElement.outerHTML.slice(0, 80), getComputedStyle(document.activeElement).outlineStyle]"
        )
        if name.startswith("<body"):
            break
        seen.add(name)
        assert style != "none", name
    assert len(seen) >= 6


async def test_a_screen_reader_is_told_states_and_not_seconds(house: House, screens: Screens) -> None:
    """The live region speaks of the change of state, not of every second and every attempt."""
    house.fleet.script(*["429:retry-after=1"] * 3)
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    spoken = await record(page, "[aria-live]")
    await expect(page.locator(".event.agent")).to_have_count(1)
    await expect(page.locator("[aria-live]")).to_have_text("Waiting for your reply.")
    assert len([text for text in await spoken() if text]) <= 3
    assert not [text for text in await spoken() if re.search(r"\d s", text)]
    assert await page.locator("[aria-live], [role=status], [role=log]").count() == 1


@pytest.mark.full
async def test_nothing_moves_for_who_does_not_want_it(house: House, screens: Screens) -> None:
    """With reduced motion there is neither an animation nor a transition."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"), reduced_motion="reduce")
    await expect(status_of(page)).to_contain_text("attempt 1 of 6")
    moving = "document.getAnimations().length + [...document.querySelectorAll('*')]"
    moving += ".filter(node => getComputedStyle(node).transitionDuration !== '0s').length"
    assert await page.evaluate(moving) == 0


async def test_everything_has_a_name(house: House, screens: Screens) -> None:
    """Each button, link and field of both views says what it is."""
    await _staged(house)
    for address in (house.at("/"), house.session("wait")):
        page = await screens.open(address)
        await expect(page.locator(".row, .event").first).to_be_visible()
        nameless = await page.evaluate(NAMELESS)
        assert nameless == []
