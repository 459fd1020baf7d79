"""The gateway as an application of its own, and among the processes."""

from __future__ import annotations

import logging

import httpx
import pytest

from tests.waiting import eventually
from tests.workers.gateway.calling import OPERATOR, options
from tidings.bus import Bus, Role
from tidings.workers.gateway import Gateway


async def test_it_says_that_it_is_there_and_that_it_ends(bus: Bus) -> None:
    """By its presence, like workers and controllers."""
    async with Gateway(bus, options(), "g1"):

        async def there() -> bool:
            found = [(one.presence.role, one.presence.name, one.live) for one in await bus.admin.processes()]
            return found == [(Role.GATEWAY, "g1", True)]

        await eventually(there)
    assert await bus.admin.processes() == ()


async def test_it_is_entered_once() -> None:
    """A second time is a mistake of the caller."""
    async with Bus.connect("memory://") as bus, Gateway(bus, options()) as gateway:
        with pytest.raises(RuntimeError):
            await gateway.__aenter__()


async def test_another_server_may_serve_it() -> None:
    """The application begins and ends the gateway with its server's lifespan."""
    async with Bus.connect("memory://") as bus:
        gateway = Gateway(bus, options(), "g1")
        sent: list[str] = []
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, str]:
            message = next(messages)
            if message["type"] == "lifespan.shutdown":
                assert gateway.hub.fleet[1] == 1
                assert not gateway.hub.closing
            return message

        async def send(message: dict[str, str]) -> None:
            sent.append(message["type"])

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        await gateway.app(scope, receive, send)  # type: ignore[arg-type]
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert gateway.hub.closing


async def test_what_breaks_inside_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """500 as a problem, with nothing of the inside; the log has it."""
    async with Bus.connect("memory://") as bus, Gateway(bus, options()) as gateway:

        def breaks() -> None:
            raise ZeroDivisionError("planted-secret")

        monkeypatch.setattr(gateway.hub, "fleet_now", breaks)
        transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            with caplog.at_level(logging.ERROR):
                answer = await client.get("/api/fleet")
        assert (answer.status_code, answer.json()["type"]) == (500, "/api#broken")
        assert "planted" not in answer.text
