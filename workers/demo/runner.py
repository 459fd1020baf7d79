"""The runner: starts what the demo needs, plays the script where people see it, records what happened, ends everything."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from rich.text import Text

from tidings.bus import Bus, Message, Notice, TidingsError
from tidings.bus.redaction import one_line
from tidings.workers.cli.exits import Exit
from tidings.workers.cli.history import told
from tidings.workers.cli.invocation import own_name
from tidings.workers.cli.output import complain, print_json, screen
from tidings.workers.cli.serve import SIGNALS, require
from tidings.workers.cli.steer import this_user
from tidings.workers.cli.tasks import end
from tidings.workers.cli.watch import is_whole, print_changes
from tidings.workers.cli.web import is_gateway_installed
from tidings.workers.demo.scenario import CONTROLLERS, FLEET, PARKED, WORKERS, provider_settings
from tidings.workers.demo.script import BY, PATIENCE_S, Pace, Script
from tidings.workers.demo.summary import Recording, Summary
from tidings.workers.provider import Provider
from tidings.workers.settings import Settings
from tidings.workers.testing import Fleet, NotInTime, Processes, ProcessLost
from tidings.workers.testing.processes import END_S

if TYPE_CHECKING:
    from rich.console import Console

    from tidings.workers.terminal import Commentary

FOR_PEOPLE = Pace(window_s=2.0, rest_s=2.5, offer_s=20.0)
"""With a person at the terminal: time to read each step, and to do the resuming."""

_LONGEST = 1000
_HANG = 9
"""Columns of the time that a step begins with."""
_INDENT = 4
"""Columns by which an address is set in: the link of the page still fits into 80."""


def run_demo(settings: Settings, once: bool, as_json: bool) -> int:
    """Play the demo; returns the exit code.

    0: all that the summary says is true. 1: not all of it, or it could not be played. 130 or 143: it was ended before its end.

    Args:
        settings: for the prefix and the log; the demo brings its own Redis, provider and settings of the fleet.
        once: play it without a person, and end. So it is where there is no terminal.
        as_json: print nothing but the summary, as one JSON object; the steps go to stderr.

    Raises:
        CommandFailed: litellm or aiohttp is not installed.
        BadAddress: there is no Redis or Valkey here.
        Unreachable: it does not start.
    """
    for package in ("litellm", "aiohttp"):
        require(package)
    out = screen()
    demo = Demo(settings.prefix, out, as_json=as_json, live=is_whole(out) and not as_json, alone=once)
    summary = asyncio.run(demo.run())
    if summary is None:
        complain("the demo was ended before its end; nothing is left running")
        return demo.code
    if as_json:
        print_json(summary.model_dump_json())
    else:
        out.print("", *summary.lines(), sep="\n")
    return Exit.DONE if summary.ok else Exit.FAILED


class Demo:
    """One run of the demo.

    Args:
        prefix: put before every name in Redis.
        out: where people read.
        as_json: tell the steps on stderr, and nothing else.
        live: show a view over the whole screen, otherwise lines.
        alone: do not wait for a person, as a person needs a live view to act.
        pace: how much time there is; what fits, if not given.

    Attributes:
        code: exit code when it was ended before its end.
        recording: what was collected.
    """

    def __init__(
        self,
        prefix: str,
        out: Console,
        *,
        as_json: bool = False,
        live: bool = False,
        alone: bool = True,
        pace: Pace | None = None,
    ) -> None:
        self._prefix, self._out, self._as_json = prefix, out, as_json
        self._interactive = live and not alone
        self._pace = pace or (FOR_PEOPLE if self._interactive else Pace())
        self._commentary = _commentary() if live else None
        self._processes = Processes(controllers=CONTROLLERS, workers=WORKERS)
        self._began = time.monotonic()
        self._played, self._left = False, asyncio.Event()
        self._failures: list[str] = []
        self.code: int = Exit.INTERRUPTED
        self.recording = Recording()

    async def run(self) -> Summary | None:
        """Play; returns the summary, None when it was ended before its end. However it ends, nothing is left behind.

        Raises:
            BadAddress: there is no Redis or Valkey here.
            Unreachable: it does not start.
        """
        async with AsyncExitStack() as house:
            bus = await house.enter_async_context(Bus.connect("embedded://", prefix=self._prefix))
            provider = await house.enter_async_context(Provider(provider_settings(self._pace.window_s)))
            self._invite(bus, await self._serve_page(house, bus))
            view = asyncio.create_task(self._show(bus), name="tidings-demo-view")
            work = asyncio.create_task(self._work(bus, provider), name="tidings-demo-work")
            try:
                await asyncio.wait({view, work}, return_when=asyncio.FIRST_COMPLETED)
                if view.done() and not self._played:
                    self.code = view.result() or Exit.INTERRUPTED
                    return None
                self._left.set()
                await work
            finally:
                # Not in haste: it ends the processes.
                await end(work, 2 * END_S)
                await self._hide(view)
        return Summary.of(self.recording, time.monotonic() - self._began, self._failures)

    # what people see

    def _say(self, text: str, *addresses: str) -> None:
        """Tell a step, with the seconds since the beginning, and below it what is to be copied."""
        lines = [f"{time.monotonic() - self._began:5.1f} s  {one_line(text, _LONGEST)}"]
        lines += [" " * _INDENT + address for address in addresses]
        if self._commentary is not None and not self._commentary.over:
            self._commentary.lines += lines
        elif self._as_json:
            print(*lines, sep="\n", file=sys.stderr, flush=True)
        else:
            self._print(lines)

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._out.print(Text(line), soft_wrap=True)

    async def _show(self, bus: Bus) -> int:
        """Show the fleet until a person ends it; returns the exit code for that."""
        if self._commentary is not None:
            from tidings.workers.terminal import watch_live

            try:
                return await watch_live(
                    bus,
                    "*",
                    by=this_user(),
                    timeout_s=PATIENCE_S,
                    tell=lambda item: list(told(item)),
                    ascii_only=self._out.options.ascii_only,
                    commentary=self._commentary,
                )
            finally:
                # They stay on the terminal, where what is said from now on goes too.
                self._commentary.over = True
                self._print(self._commentary.lines)
        lines = None if self._as_json else asyncio.create_task(print_changes(bus, "*", self._out))
        try:
            return await _signalled()
        finally:
            if lines is not None:
                await end(lines)

    async def _hide(self, view: asyncio.Task[int]) -> None:
        """End the view; one over the whole screen is not cancelled, it has the terminal to put back."""
        if self._commentary is None:
            await end(view)
        else:
            self._commentary.over = True
            await view

    async def _serve_page(self, house: AsyncExitStack, bus: Bus) -> str:
        """Serve the page to a person; returns the link that lets them in, '' where there is no page."""
        if not self._interactive or not is_gateway_installed():
            return ""
        # Imported here: only this needs a web server.
        from tidings.workers.gateway import serve

        return (await house.enter_async_context(serve(bus))).link

    def _invite(self, bus: Bus, page: str) -> None:
        self._where = f"--redis {shlex.quote(bus.url)}" + (f" --prefix {self._prefix}" if self._prefix else "")
        self._page = [page] if page else []
        if page:
            self._say("watch and steer it in a browser, at this page of your own:", page)
        text = "a Redis of our own and a provider with a limit are up; join in from another terminal:"
        self._say(text, self._command("watch"), self._command("history", PARKED, "--follow"))

    def _command(self, *words: str) -> str:
        """Return a command for another terminal, ready to be copied."""
        return f"{own_name()} {shlex.join(words)} {self._where}"

    # what happens

    async def _work(self, bus: Bus, provider: Provider) -> None:
        """Play the script, leave the fleet to a person, and record what happened."""
        self._say(f"{CONTROLLERS} controllers and {WORKERS} workers start; the workers import litellm, which takes seconds ...")
        try:
            async with Fleet(bus, provider, processes=self._processes, by=BY, prefix=self._prefix, **FLEET) as fleet:
                ready = (
                    f"{name} (process {self._processes.pid(name)})"
                    for name in (*self._processes.controllers, *self._processes.workers)
                )
                self._say(f"ready: {', '.join(ready)}")
                script = Script(
                    fleet,
                    self._processes,
                    self._say,
                    self._pace,
                    command=self._command("resume", PARKED),
                    commentary=self._commentary,
                )
                try:
                    await script.play()
                    self._played = True
                    await self._linger()
                except (NotInTime, ProcessLost, TidingsError) as error:
                    self._failures.append(str(error))
                await self._collect(fleet, script)
        except (NotInTime, ProcessLost, TidingsError) as error:
            self._failures.append(str(error))

    async def _linger(self) -> None:
        """Leave the fleet to a person until they end it."""
        if self._interactive and self._commentary is not None:
            where = "in the page and from another terminal" if self._page else "and from another terminal"
            text = f"that was the story. The fleet stays: say something more, pause, resume or stop with the keys below, {where}:"
            self._say(text, *self._page, self._command("say", PARKED, "And the day after?"))
            self._commentary.hint = " q ends it, and says whether all of it was true "
            await self._left.wait()

    async def _collect(self, fleet: Fleet, script: Script) -> None:
        """Collect what the summary rests on; the processes end first, so that nothing changes any more."""
        self._say("the processes end; what was told is compared with what the provider has recorded ...")
        await self._processes.close()
        records = [record async for record in fleet.bus.sessions()]

        def heard() -> dict[str, list[Message[Notice]]] | None:
            notices = {record.session: [one for one in fleet.notices if one.session == record.session] for record in records}
            return notices if all(len(notices[record.session]) == record.status for record in records) else None

        notices = await fleet.eventually(heard, "everything that was told is heard, once")
        self.recording = Recording(
            requests=tuple(fleet.provider.requests),
            notices=notices or {},
            histories={record.session: await fleet.history(record.session) for record in records},
            states={record.session: record.state for record in records},
            said=script.said,
            killed=script.killed,
        )


def _commentary() -> Commentary:
    # Imported here: output as lines does not need textual.
    from tidings.workers.terminal import Commentary

    return Commentary(hang=_HANG)


async def _signalled() -> int:
    """Wait for a signal that ends a program; returns the exit code that shells give for it. A second one ends us at once."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[int] = loop.create_future()

    def tell(number: signal.Signals) -> None:
        if not told.done():
            told.set_result(128 + number)

    for number in SIGNALS:
        loop.add_signal_handler(number, tell, number)
    try:
        return await told
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
