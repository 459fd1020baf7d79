"""The server's life, and the paths that show and steer it."""

from __future__ import annotations

import asyncio
import inspect
import socket
from typing import Any

import aiohttp
import pytest

from tests.waiting import PATIENCE_S, eventually
from tests.workers.provider.asking import KEY, Client, FakeClock, asking
from tidings.workers import provider
from tidings.workers.provider import Fault, Limit, Provider, ProviderSettings, serve


async def reachable(provider: Provider) -> bool:
    """Say whether the provider still takes connections."""
    host, port = provider.url.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def hanging(client: Client, count: int) -> list[asyncio.Task[Any]]:
    """Start calls that are never answered and wait until the provider has them all."""
    client.provider.script(Fault(kind="timeout", times=None))
    calls: list[asyncio.Task[Any]] = [asyncio.create_task(client.ask()) for _ in range(count)]
    await eventually(lambda: client.provider.stats()["in_flight"] == count)
    return calls


def test_the_package_offers_what_it_lists() -> None:
    """`__all__` holds what is public, and each has words."""
    public = [getattr(provider, name) for name in provider.__all__]
    assert all(inspect.getdoc(item) for item in public)


async def test_it_listens_on_a_free_port_of_loopback() -> None:
    """Two providers run side by side, reachable from this machine."""
    async with Provider() as one, Provider() as other:
        assert one.base_url.startswith("http://127.0.0.1:")
        assert one.base_url == f"{one.url}/v1"
        assert one.url != other.url
        assert await reachable(one)


async def test_an_ipv6_host_is_written_in_brackets() -> None:
    """The address can be used as it is."""
    async with asking(Provider(ProviderSettings(host="::1"))) as client:
        assert client.provider.url.startswith("http://[::1]:")
        assert (await client.ask()).status == 200


async def test_it_has_no_address_before_it_starts() -> None:
    """Asking too early is a clear error; counting nothing is not."""
    provider = Provider()
    with pytest.raises(RuntimeError, match="start it first"):
        _ = provider.base_url
    assert provider.stats()["uptime_s"] == 0


async def test_it_is_started_once() -> None:
    """A second start, also after the end, is an error; a second end is not."""
    provider = Provider()
    await provider.start()
    with pytest.raises(RuntimeError, match="make a new one"):
        await provider.start()
    await provider.close()
    await provider.close()
    assert not await reachable(provider)
    with pytest.raises(RuntimeError, match="make a new one"):
        await provider.start()


async def test_a_port_in_use_is_told() -> None:
    """The error is the system's, and nothing stays open."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        provider = Provider(ProviderSettings(port=taken.getsockname()[1]))
        with pytest.raises(OSError, match="in use"):
            await provider.start()


async def test_forgetting_to_close_warns() -> None:
    """A provider that is dropped while it runs says so."""
    provider = Provider()
    await provider.start()
    with pytest.warns(ResourceWarning, match="was not closed"):
        provider.__del__()
    await provider.close()


async def test_the_end_does_not_wait_for_calls_in_flight() -> None:
    """Calls that would hang for ever lose their connection; what was seen stays known."""
    async with asking(Provider()) as client:
        calls = await hanging(client, 20)
        async with asyncio.timeout(PATIENCE_S):
            await client.provider.close()
            ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, aiohttp.ClientError) for error in ended)
        assert not await reachable(client.provider)
        stats = client.provider.stats()
    assert (stats["in_flight"], stats["failed"]["timeout"], stats["max_in_flight"]) == (0, 20, 20)


async def test_the_end_does_not_wait_for_a_stream_that_nobody_reads() -> None:
    """A stalled reader with a full buffer holds nobody up."""
    async with Provider(ProviderSettings(answer="word " * 200_000)) as provider:
        host, port = provider.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1)
        body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "go"}]}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await reader.readexactly(1)
        async with asyncio.timeout(PATIENCE_S):
            await provider.close()
        assert provider.requests[0].outcome == "abandoned"
        writer.close()


async def test_serve_runs_until_cancelled() -> None:
    """It tells when it listens, and its end is the end of the server."""
    listening: asyncio.Future[Provider] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(ProviderSettings(), listening.set_result))
    provider = await listening
    assert await reachable(provider)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not await reachable(provider)


async def test_health_is_told() -> None:
    """A start-up script can wait for it."""
    async with asking(Provider(ProviderSettings(keys={KEY: Limit()}))) as client:
        assert (await client.call("GET", "/healthz")).json() == {"status": "ok"}


async def test_models_are_listed_to_those_with_a_key() -> None:
    """In OpenAI's form; one stands for all where any name is a model."""
    async with asking(Provider(ProviderSettings(keys={KEY: Limit()}, models=("a", "b")))) as client:
        refused = await client.call("GET", "/v1/models")
        listed = (await client.call("GET", "/v1/models", key=KEY)).json()
    assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
    assert [model["id"] for model in listed["data"]] == ["a", "b"]
    assert listed["object"] == "list"
    async with asking(Provider()) as client:
        assert (await client.call("GET", "/v1/models")).json()["data"][0]["id"] == "echo"


async def test_stats_are_told_to_other_processes() -> None:
    """`/stats` is what `stats` returns; it counts itself not."""
    clock = FakeClock()
    async with asking(Provider(clock=clock)) as client:
        await client.ask()
        clock.now += 2.5
        stats = (await client.call("GET", "/stats")).json()
        assert stats == client.provider.stats()
    assert (stats["requests"], stats["ok"], stats["uptime_s"]) == (1, 1, 2.5)
    assert KEY not in str(stats)


async def test_requests_are_told_to_other_processes() -> None:
    """`/requests` gives the full prompts, from a number on."""
    async with asking(Provider()) as client:
        for text in ("one", "two", "three"):
            await client.ask(text)
        every = (await client.call("GET", "/requests")).json()
        later = (await client.call("GET", "/requests?after=2")).json()
        assert every == [record.as_json() for record in client.provider.requests]
    assert [record["messages"][0]["content"] for record in every] == ["one", "two", "three"]
    assert [record["number"] for record in later] == [3]
    assert set(later[0]) == {
        "number", "at", "key", "model", "messages", "stream", "status", "tokens", "fault", "outcome",
    }  # fmt: skip
    assert later[0]["key"] == "…cdef"


async def test_a_number_out_of_range_in_a_prompt_does_no_harm() -> None:
    """What is read as infinity is shown as null, not as something that is not JSON."""
    async with asking(Provider()) as client:
        answer = await client.send(b'{"model": "m", "messages": [{"role": "user", "content": 1e999}]}')
        (record,) = (await client.call("GET", "/requests")).json()
    assert answer.status == 200
    assert record["messages"] == [{"role": "user", "content": None}]


async def test_a_deep_prompt_does_no_harm() -> None:
    """Nesting that can be read can be shown."""
    content = b'{"a":' * 150 + b"1" + b"}" * 150
    async with asking(Provider()) as client:
        answer = await client.send(b'{"model": "m", "messages": [{"content": %s}]}' % content)
        shown = await client.call("GET", "/requests")
    assert (answer.status, shown.status) == (200, 200)
    assert len(shown.json()) == 1


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 40, "²"])
async def test_a_wrong_number_is_refused(after: str) -> None:
    """`after` is a plain number."""
    async with asking(Provider()) as client:
        answer = await client.call("GET", f"/requests?after={after}")
    assert (answer.status, answer.error["param"]) == (400, "after")


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        ("503x2", [503, 503, 200]),
        ({"kind": "status", "status": 418}, [418, 200]),
        (["500", {"kind": "quota", "times": 2}], [500, 429, 429, 200]),
        (Fault.parse("401x2").model_dump(), [401, 401, 200]),
    ],
)
async def test_another_process_can_script(body: Any, statuses: list[int]) -> None:
    """One fault or several, in full or in compact form."""
    async with asking(Provider()) as client:
        answer = await client.call("POST", "/script", body)
        assert answer.status == 200
        assert (await client.call("GET", "/script")).json()["script"] == answer.json()["script"]
        assert [(await client.ask()).status for _ in statuses] == statuses
    assert answer.json()["added"] == (len(body) if isinstance(body, list) else 1)


async def test_a_script_can_be_dropped() -> None:
    """From here and from elsewhere."""
    async with asking(Provider(ProviderSettings(script=(Fault.parse("500x*"),)))) as client:
        assert (await client.ask()).status == 500
        assert (await client.call("DELETE", "/script")).json() == {"script": []}
        assert (await client.ask()).status == 200
        client.provider.script(Fault.parse("500x*"))
        client.provider.clear_script()
        assert (await client.ask()).status == 200


@pytest.mark.parametrize(
    "body",
    [None, 3, {}, "boom", ["500", "boom"], [{"kind": "status", "key": "sk-planted"}], ["500"] * 10_001],
)
async def test_a_wrong_script_is_refused_as_a_whole(body: Any) -> None:
    """400 with the reason, no key in it, and nothing is queued."""
    async with asking(Provider()) as client:
        answer = await client.call("POST", "/script", body)
        assert client.provider.stats()["script"] == []
    assert answer.status == 400
    assert answer.error["message"]
    assert "planted" not in answer.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/chat/completions", 405)])
async def test_wrong_paths_are_errors_in_openais_form(method: str, path: str, status: int) -> None:
    """A client that reads errors as JSON can read these."""
    async with asking(Provider()) as client:
        answer = await client.call(method, path)
    assert answer.status == status
    assert answer.error["message"]
    assert ("Allow" in answer.headers) == (status == 405)
