"""Countdowns run by the server's clock, whatever the browser's clock says."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browsers import Screens
from tests.page.house import House, status_of

SHIFT = """
  const Real = Date, by = %d;
  window.Date = class extends Real {
    constructor(...given) { given.length ? super(...given) : super(Real.now() + by); }
    static now() { return Real.now() + by; }
  };
"""
DAY_MS = 86_400_000
READ = "text => Number(/next try in (?:(\\d+)m )?(\\d+)s/.exec(text)?.slice(1).reduce((m, s) => (m ?? 0) * 60 + Number(s)))"


@pytest.mark.parametrize(
    "by_ms",
    [
        pytest.param(-7 * DAY_MS, id="a week slow"),
        pytest.param(-90_000, id="90 s slow", marks=pytest.mark.full),
        pytest.param(3_600_000, id="an hour fast", marks=pytest.mark.full),
    ],
)
async def test_a_wrong_clock_shows_the_same_countdown(house: House, screens: Screens, by_ms: int) -> None:
    """Beside a browser whose clock is right, both read the same to the second."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    right = await screens.open(house.session("sea"))
    wrong = await screens.open(house.session("sea"), script=SHIFT % by_ms)
    assert abs(await wrong.evaluate("Date.now()") - await right.evaluate("Date.now()") - by_ms) < 30_000
    for page in (right, wrong):
        await expect(status_of(page)).to_contain_text("next try in")
    one, other = [await page.evaluate(f"({READ})(document.querySelector('.deck .lines').innerText)") for page in (right, wrong)]
    assert 0 < one <= 56
    assert 0 <= one - other <= 5, "the second one was read a little later"


async def test_a_clock_that_is_set_while_the_page_is_open(house: House, screens: Screens) -> None:
    """A browser whose clock jumps goes on counting down."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(status_of(page)).to_contain_text("next try in")
    await page.evaluate(f"() => {{ {SHIFT % DAY_MS} }}")
    before = await page.evaluate(f"({READ})(document.querySelector('.deck .lines').innerText)")
    await expect(status_of(page)).not_to_contain_text(f"in {before}s")
    after = await page.evaluate(f"({READ})(document.querySelector('.deck .lines').innerText)")
    assert 0 < before - after < 15
