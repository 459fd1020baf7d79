"""A planted key: it is used, and found nowhere else."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from tests.behaviour.agents import Failing, Witness
from tests.fleet import KEY, Fleet
from tidings.bus import Bus, CommandRefused, LlmParked, State
from tidings.workers.provider import Fault, Limit, ProviderSettings

TOLD = f"Incorrect API key provided: {KEY}. You can find yours at https://example.com/?key={KEY}"


async def everything(bus: Bus) -> bytes:
    """All that Redis holds, as it would be dumped and as it is read (a dump may be compressed)."""
    redis: Any = bus._context.connection.commands
    found: list[bytes] = []
    readers = {b"hash": redis.hgetall, b"string": redis.get, b"stream": redis.xrange}
    async for key in redis.scan_iter():
        found += [key, await redis.dump(key) or b""]
        kind = await redis.type(key)
        reader = readers.get(kind if isinstance(kind, bytes) else kind.encode())
        content = await (reader(key) if reader else redis.zrange(key, 0, -1))
        found.append(repr(content).encode())
    return b"".join(found)


async def test_a_planted_key_is_found_nowhere(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Although the provider repeats it in every refusal, and an agent in its own error."""
    caplog.set_level(logging.DEBUG)
    witness, failing = Witness(), Failing(RuntimeError(f"cannot log in with {KEY}"))
    async with Fleet(redis_url, workers=0, attempts=2, provider=ProviderSettings(keys={KEY: Limit()})) as fleet:
        worker = await fleet.add_worker(lambda: witness)
        fleet.script(
            Fault(kind="status", status=429, message=TOLD, headers={"Retry-After": "0.01"}),
            Fault(kind="status", status=500, message=TOLD),
            Fault(kind="status", status=401, message=TOLD),
            Fault(kind="quota", message=TOLD),
        )
        await fleet.start("retried")
        await fleet.until("retried", State.RETRYING)
        await fleet.until_told("retried", LlmParked)
        await fleet.start("refused")
        await fleet.until("refused", State.ERROR)
        await fleet.start("parked")
        await fleet.until("parked", State.RATE_LIMITED)
        await fleet.start("fine")
        await fleet.until("fine", State.AWAITING_INPUT)
        with pytest.raises(CommandRefused):
            await fleet.resume("fine")
        await worker.end()
        await fleet.add_worker(lambda: failing)
        await fleet.start("broken")
        await fleet.until("broken", State.ERROR)
        assert [request.key for request in fleet.provider.requests] == [f"…{KEY[-4:]}"] * 5
        sessions = [record.session async for record in fleet.bus.sessions()]
        events = [event for session in sessions for event in await fleet.history(session)]
        histories = "".join(event.model_dump_json() for event in events)
        told = "".join(notice.model_dump_json() for notice in fleet.told)
        stored = await everything(fleet.bus)
    assert len(witness.errors) == 3
    texts = "".join("".join(traceback.format_exception(error)) + repr(error) for error in witness.errors)
    logged = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    assert "llm.retry" in told
    assert "[redacted]" in told
    assert "cannot log in with [redacted]" in histories
    assert b"[redacted]" in stored
    for text in (histories, told, stored.decode("utf-8", "replace"), texts, logged):
        assert KEY not in text
