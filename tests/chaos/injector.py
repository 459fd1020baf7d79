"""Faults carried out: on connections by the proxies, on the server, on processes; each is noted."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Sequence

from tests.chaos import record
from tests.chaos.faults import EVERYONE, Planned
from tests.chaos.processes import Cast
from tests.chaos.server import ChaosServer
from tests.proxy import Proxy

_LOOP = "while true do redis.call('TIME') end"
_ROOMY = "normal 0 0 0 pubsub 32mb 8mb 60"
_TIGHT = "normal 0 0 0 pubsub 16kb 8kb 1"
_BALLAST = "x" * 64 * 1024


class Injector:
    """Carries out what is planned.

    Args:
        chance: decides how much a crash takes.
        server: what the server's faults are done to.
        cast: whose connections and processes the others are done to.
        recorder: notes each fault.
    """

    def __init__(self, chance: random.Random, server: ChaosServer, cast: Cast, recorder: record.Recorder) -> None:
        self._chance, self._server, self._cast, self._recorder = chance, server, cast, recorder
        self._server_lock = asyncio.Lock()

    async def run(self, faults: Sequence[Planned]) -> None:
        """Carry out all faults at their times, and wait until the last is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began + fault.at_s - time.monotonic()))
                group.create_task(self._carry_out(fault))

    async def heal(self) -> None:
        """End whatever may not have ended: what was lifted while the server was away was not."""
        for proxy in self._cast.proxies.values():
            proxy.heal()
        for words in (
            ("SCRIPT", "KILL"),
            ("CONFIG", "SET", "maxmemory", "0"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            ("CONFIG", "SET", "client-output-buffer-limit", _ROOMY),
            ("REPLICAOF", "NO", "ONE"),
        ):
            await self._server.command(*words)
        await self._server.find_disk()
        await self._server.let_in()

    async def _carry_out(self, fault: Planned) -> None:
        at, taken = time.monotonic(), None
        name = fault.kind.replace("-", "_")
        if place := self._cast.proxies.get(fault.target):
            proxies = [place]
        else:
            proxies = list(self._cast.proxies.values()) if fault.target == EVERYONE else []
        if on_process := getattr(self, f"_process_{name}", None):
            await on_process(fault)
        elif on_server := getattr(self, f"_server_{name}", None):
            taken = await on_server(fault)
        else:
            await self._network(fault, proxies)
        keeps, until = taken or (None, time.monotonic())
        self._recorder.note(record.Fault(kind=fault.kind, target=fault.target, at=at, until=until, keeps=keeps))

    # connections

    async def _network(self, fault: Planned, proxies: Sequence[Proxy]) -> None:
        amount = fault.amount
        begin: dict[str, Callable[[Proxy], None]] = {
            "cut": lambda proxy: proxy.cut(),
            "black-hole": lambda proxy: proxy.freeze(),
            "black-hole-requests": lambda proxy: proxy.freeze("requests"),
            "black-hole-replies": lambda proxy: proxy.freeze("replies"),
            "delay": lambda proxy: proxy.delay(amount),
            "lose-requests": lambda proxy: proxy.lose("request", b"EVALSHA", round(amount)),
            "lose-replies": lambda proxy: proxy.lose("reply", b"EVALSHA", round(amount)),
            "slow-reads": lambda proxy: proxy.slow(amount),
        }
        for proxy in proxies:
            begin[fault.kind](proxy)
        if not fault.lasts_s:
            return
        await asyncio.sleep(fault.lasts_s)
        for proxy in proxies:
            {"delay": lambda p: p.delay(0), "slow-reads": lambda p: p.slow(0)}.get(fault.kind, lambda p: p.thaw())(proxy)

    # processes

    async def _process_kill(self, fault: Planned) -> None:
        if actor := self._cast.alive.get(fault.target):
            actor.end(signal.SIGKILL)
            await actor.ended.wait()

    async def _process_end(self, fault: Planned) -> None:
        if actor := self._cast.alive.get(fault.target):
            actor.end(signal.SIGTERM)

    async def _process_stop(self, fault: Planned) -> None:
        if actor := self._cast.alive.get(fault.target):
            actor.send(signal.SIGSTOP)
            await asyncio.sleep(fault.lasts_s)
            actor.send(signal.SIGCONT)

    # the server

    async def _server_crash(self, fault: Planned) -> tuple[float | None, float]:
        """Have it crash; returns up to when it kept everything, and when it was dead."""
        return await self._crash(fault.lasts_s)

    async def _server_crash_unseen(self, fault: Planned) -> tuple[float | None, float]:
        """Have it crash while the readers are stopped; they go on when what was lost may have been written anew."""
        readers = [actor for place, actor in self._cast.alive.items() if place.startswith("reader")]
        for actor in readers:
            actor.send(signal.SIGSTOP)
        try:
            taken = await self._crash(0.0)
            await asyncio.sleep(fault.lasts_s)
        finally:
            for actor in readers:
                actor.send(signal.SIGCONT)
        return taken

    async def _crash(self, down_s: float) -> tuple[float | None, float]:
        async with self._server_lock:
            keeps, until = await self._server.crash(self._chance), time.monotonic()
            await asyncio.sleep(down_s)
            await self._server.start()
        return keeps, until

    async def _server_freeze(self, fault: Planned) -> None:
        async with self._server_lock:
            self._server.running.freeze()
            await asyncio.sleep(fault.lasts_s)
            self._server.running.thaw()

    async def _server_kill_clients(self, fault: Planned) -> None:
        await self._server.command("CLIENT", "KILL", "TYPE", "normal")

    async def _server_kill_subscribers(self, fault: Planned) -> None:
        await self._server.command("CLIENT", "KILL", "TYPE", "pubsub")

    async def _server_small_buffers(self, fault: Planned) -> None:
        """Have subscribers cut off: what they are sent is more than the server buffers for them."""
        await self._server.command("CONFIG", "SET", "client-output-buffer-limit", _TIGHT)
        await self._server.command("PUBLISH", "status.ballast", _BALLAST)
        await asyncio.sleep(fault.lasts_s)
        await self._server.command("CONFIG", "SET", "client-output-buffer-limit", _ROOMY)

    async def _server_flush_scripts(self, fault: Planned) -> None:
        await self._server.command("SCRIPT", "FLUSH")

    async def _server_busy(self, fault: Planned) -> None:
        running = asyncio.ensure_future(self._server.command("EVAL", _LOOP, 0))
        await asyncio.sleep(fault.lasts_s)
        await self._server.command("SCRIPT", "KILL")
        await running

    async def _server_full(self, fault: Planned) -> None:
        await self._lifted(fault, ("maxmemory", "1"), ("maxmemory", "0"))

    async def _server_no_replicas(self, fault: Planned) -> None:
        await self._lifted(fault, ("min-replicas-to-write", "1"), ("min-replicas-to-write", "0"))

    async def _server_no_disk(self, fault: Planned) -> None:
        await self._server.lose_disk()
        await asyncio.sleep(fault.lasts_s)
        await self._server.find_disk()

    async def _server_wrong_password(self, fault: Planned) -> None:
        await self._server.lock_out()
        await asyncio.sleep(fault.lasts_s)
        await self._server.let_in()

    async def _server_read_only(self, fault: Planned) -> None:
        """Make it a replica of nothing for a moment, as one that failed over behind its address."""
        await self._server.command("REPLICAOF", "127.0.0.1", "1")
        await asyncio.sleep(fault.lasts_s)
        await self._server.command("REPLICAOF", "NO", "ONE")

    async def _server_flush_all(self, fault: Planned) -> tuple[float | None, float]:
        await self._server.flush()
        return 0.0, time.monotonic()

    async def _lifted(self, fault: Planned, setting: tuple[str, str], after: tuple[str, str]) -> None:
        await self._server.command("CONFIG", "SET", *setting)
        await asyncio.sleep(fault.lasts_s)
        await self._server.command("CONFIG", "SET", *after)
