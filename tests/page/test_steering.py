"""What a person may do, what was refused and why, and who may not."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, Route, expect

from tests.browsers import Screens
from tests.page.house import VIEWER, House, button, offsets, row_of, status_of
from tidings.bus import State

Answer = tuple[int, str] | None
Handler = Callable[[Route], Awaitable[None]]


async def test_a_refused_command_says_why_beside_the_buttons(house: House, screens: Screens) -> None:
    """Somebody else was quicker: the reason of the controller is shown, until it is dismissed."""
    screens.failures_expected = True
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(button(page, "Resume")).to_be_visible()

    async def late(route: Route) -> None:
        await house.fleet.stop("sea")
        await route.continue_()

    await page.route("**/commands", late)
    await button(page, "Resume").click()
    trouble = page.locator(".deck .trouble")
    await expect(trouble).to_contain_text("Refused: the session is stopped, and that is final")
    await expect(page.locator(".controls").get_by_role("button")).to_have_count(0)
    await trouble.get_by_role("button", name="Dismiss").click()
    await expect(trouble).to_be_hidden()
    await expect(page.locator(".deck .status")).to_be_focused()


async def test_stop_asks_before_it_ends_a_session(house: House, screens: Screens) -> None:
    """Cancel changes nothing; Stop ends it with the reason that was given, and nothing can be said any more."""
    await house.fleet.start("sea", "hello")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    page = await screens.open(house.session("sea"))
    await button(page, "Stop").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Stop sea?")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_be_hidden()
    assert (await house.fleet.bus.status("sea")).state is State.AWAITING_INPUT
    await button(page, "Stop").click()
    await dialog.get_by_role("textbox").fill("enough")
    await dialog.get_by_role("button", name="Stop for good").click()
    await expect(status_of(page)).to_contain_text("enough")
    await expect(page.locator(".controls").get_by_role("button")).to_have_count(0)
    await expect(page.locator("#say-text")).to_be_hidden()


async def test_a_viewer_only_looks(house: House, screens: Screens) -> None:
    """They see all that operators see, and no button that they may not use."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea", VIEWER))
    await expect(status_of(page)).to_contain_text("attempt 1 of 6")
    await expect(page.locator(".tag")).to_have_text("read only")
    await expect(page.locator(".deck").get_by_role("button")).to_have_count(0)
    await expect(page.locator(".deck textarea")).to_have_count(0)
    await page.keyboard.press("p")
    await page.keyboard.press("Escape")
    await expect(page.locator("#row-sea")).to_be_visible()
    await expect(page.get_by_role("button", name="Start a session")).to_have_count(0)
    assert (await house.fleet.bus.status("sea")).state is State.RATE_LIMITED


async def _start(page: Page, name: str, text: str) -> None:
    await page.get_by_role("button", name="Start a session").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("What shall it do?").fill(text)
    await dialog.get_by_label("Name").fill(name)
    await dialog.get_by_role("button", name="Start", exact=True).click()


async def test_a_session_is_started_from_the_page(house: House, screens: Screens) -> None:
    """A name and a message make a session, and lead to it."""
    page = await screens.open(house.at("/"))
    await _start(page, "sea", "Why is the sea salt?")
    await expect(page.locator(".event.agent")).to_contain_text("You said: Why is the sea salt?")
    await expect(page).to_have_url(f"{house.gateway.url}/sessions/sea")


async def test_a_name_that_is_taken_is_refused_in_the_dialog(house: House, screens: Screens) -> None:
    """What was written stays, so that only the name has to be changed."""
    screens.failures_expected = True
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.at("/"))
    await _start(page, "sea", "Why is the sea salt?")
    await expect(page.locator("dialog .trouble")).not_to_be_empty()
    await expect(page.get_by_label("What shall it do?")).to_have_value("Why is the sea salt?")
    await page.get_by_role("dialog").get_by_label("Name").fill("lake")
    await page.keyboard.press("Enter")
    await expect(page.locator(".event.agent")).to_contain_text("You said: Why is the sea salt?")
    assert await house.fleet.said("sea") == ["user: hello", "agent: You said: hello"]


async def test_others_see_who_did_it(house: House, screens: Screens) -> None:
    """The name that somebody gave in the header stands beside what they did, whatever its letters; their browser keeps it."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await page.get_by_role("button", name="You are operator").click()
    await page.get_by_label("Your name").fill("Łucja Ζωή")
    await page.keyboard.press("Enter")
    await page.reload()
    await expect(page.get_by_role("button", name="You are Łucja Ζωή")).to_be_visible()
    await button(page, "Pause").click()
    other = await screens.open(house.session("sea"))
    await expect(status_of(other)).to_contain_text("Paused by Łucja Ζωή (web)")
    await expect(other.locator(".facts")).to_contain_text("Łucja Ζωή (web)")


def _lose_first(answer: Answer) -> Handler:
    """Return a handler that has the first request carried out and then gives another answer, or None where nobody answers."""
    asked = 0

    async def lose(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            await route.continue_()
            return
        await route.fetch()
        if answer is None:
            await route.abort()
        else:
            await route.fulfill(status=answer[0], content_type="application/problem+json", body=json.dumps({"type": answer[1]}))

    return lose


UNCLEAR = pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="no answer"),
        pytest.param((502, "about:blank"), id="a proxy's", marks=pytest.mark.full),
        pytest.param((503, "/api#unreachable"), id="no Redis", marks=pytest.mark.full),
    ],
)


@UNCLEAR
async def test_a_command_whose_answer_was_lost_is_done_once(house: House, screens: Screens, answer: Answer) -> None:
    """Said again after it is not known what became of it, it goes out under the same id and stands once in the history."""
    screens.failures_expected = True
    await house.fleet.start("sea", "hello")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    page = await screens.open(house.session("sea"))
    await page.route("**/commands", _lose_first(answer))
    await page.locator("#say-text").fill("And the lakes?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".deck .trouble")).to_contain_text("Whether it was said is not known; doing it again is safe.")
    await page.get_by_role("button", name="Say", exact=True).click()
    await expect(page.locator(".deck .trouble")).to_be_hidden()
    await expect(page.locator(".event.user")).to_have_count(2)
    await expect(page.locator(".event.agent")).to_have_count(2)
    assert await offsets(page) == [1, 2, 3, 4]


@UNCLEAR
async def test_a_start_whose_answer_was_lost_makes_one_session(house: House, screens: Screens, answer: Answer) -> None:
    """Also one without a name: started again, it is the same session."""
    screens.failures_expected = True
    page = await screens.open(house.at("/"))
    await page.route("**/api/sessions", _lose_first(answer))
    await _start(page, "", "Why is the sea salt?")
    await expect(page.locator("dialog .trouble")).to_contain_text("starting it again is safe")
    await page.get_by_role("dialog").get_by_role("button", name="Start", exact=True).click()
    await expect(page.locator(".event.agent")).to_contain_text("You said: Why is the sea salt?")
    assert len([record async for record in house.fleet.bus.sessions()]) == 1


async def test_the_focus_stays_beside_what_was_done(house: House, screens: Screens) -> None:
    """When the last button is gone it is on the status, and not at the top of the page."""
    screens.failures_expected = True
    await house.fleet.start("sea", "hello")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    page = await screens.open(house.session("sea"))
    await button(page, "Stop").click()
    await page.get_by_role("dialog").get_by_role("button", name="Stop for good").click()
    await expect(page.locator(".controls").get_by_role("button")).to_have_count(0)
    await expect(page.locator(".deck .status")).to_be_focused()


async def test_letters_can_be_kept_from_acting(house: House, screens: Screens) -> None:
    """For who dictates, or types without looking; the choice stays, and keys that no text has go on to work."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(button(page, "Pause")).to_be_visible()
    await page.keyboard.press("?")
    await page.get_by_label("Single letters act").uncheck()
    await page.get_by_role("button", name="Close").click()
    await page.reload()
    await expect(button(page, "Pause")).to_be_visible()
    await page.locator("main").focus()
    await page.keyboard.press("p")
    await page.keyboard.press("Escape")
    await expect(row_of(page, "sea")).to_be_visible()
    assert (await house.fleet.bus.status("sea")).state is State.RATE_LIMITED
