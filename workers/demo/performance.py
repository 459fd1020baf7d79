"""The performance: everything that the demo needs is put up, the story played, the evidence collected, everything taken down."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from bus import Bus, TidingsError
from workers.cli.exits import Exit
from workers.cli.gate import is_gateway_installed
from workers.cli.output import complain, print_json, screen
from workers.cli.serve import require
from workers.demo.cast import PARKED, fleet_environment, provider_settings
from workers.demo.display import Display, Lines, Table
from workers.demo.evidence import Evidence, collect
from workers.demo.interruption import Interruption
from workers.demo.keys import keys
from workers.demo.stage import ActorLost, Stage
from workers.demo.story import Pace, Story
from workers.demo.summary import Summary
from workers.demo.witness import NotInTime, Witness
from workers.provider import Provider
from workers.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

FOR_PEOPLE = Pace(rest_s=2.5, offer_s=20.0)
"""With somebody at the terminal: time to read each step, and to do the resuming."""

MakeDisplay = Callable[[Bus, Witness], Display]


def run_demo(settings: Settings, once: bool, as_json: bool) -> int:
    """Play the demo; returns the exit code.

    0: all that the summary says is true. 1: not all of it, or it could not be played. 130 or 143: a signal came before the end.

    Args:
        settings: for the prefix and the log; the demo brings its own Redis, provider and settings of the fleet.
        once: play it without a person, and end. So it is where there is no terminal.
        as_json: print nothing but the summary, as one JSON object; the steps go to stderr.

    Raises:
        Problem: litellm or aiohttp is not installed.
        BadAddress: there is no Redis or Valkey here.
    """
    for package in ("litellm", "aiohttp"):
        require(package)
    out = screen(fold=True)
    live = out.is_terminal and not out.is_dumb_terminal and not as_json
    performance = Performance(settings, display_maker(settings, out, live=live, as_json=as_json), interactive=live and not once)
    summary = asyncio.run(performance.run())
    if summary is None:
        complain("the demo was ended before its end; nothing is left running")
        return performance.code
    print_summary(summary, out, as_json=as_json)
    return Exit.DONE if summary.ok else Exit.FAILED


def display_maker(settings: Settings, out: Console, *, live: bool, as_json: bool) -> MakeDisplay:
    """Return what makes the display that fits: a live table, lines, or the steps alone on stderr."""
    options = f" --prefix {settings.prefix}" if settings.prefix else ""

    def make(bus: Bus, witness: Witness) -> Display:
        if as_json:
            return Display(bus, lambda line: print(line, file=sys.stderr, flush=True), options)
        if live:
            return Table(bus, out, options)
        return Lines(bus, lambda line: out.print(line, soft_wrap=True), witness, options)

    return make


def print_summary(summary: Summary, out: Console, *, as_json: bool) -> None:
    """Print it, as JSON or as people read it."""
    if as_json:
        print_json(summary.line())
        return
    out.print()
    for line in summary.lines():
        out.print(line, soft_wrap=True)


class Performance:
    """One performance of the demo.

    Args:
        settings: as for `run_demo`.
        make_display: makes what the steps are shown on.
        interactive: leave time for a person, and go on until they end it.
        pace: how much time; what fits, if not given.

    Attributes:
        code: exit code when it was ended before the end.
    """

    def __init__(self, settings: Settings, make_display: MakeDisplay, *, interactive: bool, pace: Pace | None = None) -> None:
        self._settings, self._make_display, self._interactive = settings, make_display, interactive
        self._pace = pace or (FOR_PEOPLE if interactive else Pace())
        self.code: int = Exit.INTERRUPTED

    async def run(self) -> Summary | None:
        """Play; returns the summary, None when it was ended before the end. Whatever happens, nothing is left behind.

        Raises:
            BadAddress: there is no Redis or Valkey here.
            Unreachable: it does not start.
        """
        began = time.monotonic()
        async with AsyncExitStack() as house:
            bus = await house.enter_async_context(Bus.connect("embedded://", prefix=self._settings.prefix))
            provider = await house.enter_async_context(Provider(provider_settings()))
            witness = await house.enter_async_context(Witness(bus))
            display = await house.enter_async_context(self._make_display(bus, witness))
            stage = await house.enter_async_context(Stage(fleet_environment(bus.url, provider.base_url, self._settings.prefix)))
            page = await self._serve_page(house, bus)
            story = Story(bus, provider, stage, witness, display, self._pace)
            failures: list[str] = []
            with Interruption() as interruption, keys({"r": story.resume_now.set, "q": interruption.wish}):
                try:
                    _invite(display, page)
                    if not await interruption.spared(story.play()):
                        self.code = interruption.code
                        return None
                    await self._linger(display, interruption, page)
                except (NotInTime, ActorLost, TidingsError) as error:
                    failures.append(str(error))
            return await _settle(bus, provider, witness, stage, story, began, failures)

    async def _serve_page(self, house: AsyncExitStack, bus: Bus) -> str:
        """Serve the page to a person; returns the link that lets them in, '' where there is no page.

        Who plays it alone, to see whether it is true, looks at no page.
        """
        if not self._interactive or not is_gateway_installed():
            return ""
        # Imported here: only this needs a web server.
        from workers.gateway import serve

        return (await house.enter_async_context(serve(bus))).link

    async def _linger(self, display: Display, interruption: Interruption, page: str) -> None:
        """Leave the fleet to a person until they end it."""
        if self._interactive:
            where = "in the page or from another terminal" if page else "from another terminal"
            display.step(f"that was the story. The fleet stays: say something more, pause, resume or stop {where},")
            display.step(f"for example {display.command('say', PARKED, 'And the day after?')}")
            display.ask("q or Ctrl-C  end, and see whether all of it was true")
            await interruption.wait()
            display.ask("")


def _invite(display: Display, page: str) -> None:
    if page:
        display.step("watch and steer it in a browser, at this page of your own:")
        display.step(f"  {page}")
    display.step("a Redis of our own and a provider with a limit are up; join in from another terminal:")
    display.step(f"  {display.command('watch')}")
    display.step(f"  {display.command('history', PARKED, '--follow')}")


async def _settle(
    bus: Bus, provider: Provider, witness: Witness, stage: Stage, story: Story, began: float, failures: list[str]
) -> Summary | None:
    """End the processes, so that nothing changes any more, and compare what was recorded, told and kept."""
    await stage.aclose()
    try:
        evidence = await collect(bus, provider, witness, story.said, story.killed)
    except (NotInTime, TidingsError) as error:
        failures.append(str(error))
        evidence = Evidence.nothing()
    return Summary.of(evidence, time.monotonic() - began, failures)
