"""How long a provider's error holds the event loop of a worker, for bodies of 1 kB to 10 MB, on each route.

    python -m bench.provider_bodies [--rounds N] [--json]

The provider is a thread that sends one prepared refusal over loopback. "held" is the longest time for which the loop of the
call ran nothing else, litellm's work included; "ours" is the CPU time of our own part, which is what follows when the body has
arrived whole, as on a route that is not bounded: judging the error, taking secrets out of it, and a log line with its
traceback. Each figure is the median of N calls, after one that is not counted. The goal is for ours.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from tidings.workers.errors import LlmError
from tidings.workers.llm import Llm, close_litellm, load_litellm
from tidings.workers.llm.secrets import known_secrets, scrub
from tidings.workers.log import Redaction
from tidings.workers.retry import RetryPlan, classify

GOAL_MS = 20.0
KEY = "sk-bench-0123456789abcdef"
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
ROUTES = {
    "openai": {"model": "openai/x"},
    "azure": {"model": "azure/x", "api_version": "2024-10-21"},
    "anthropic": {"model": "anthropic/x"},
    "gemini": {"model": "gemini/x"},
    "openrouter": {"model": "openrouter/a/b"},
}
_TICK_S = 0.001


class ProviderError(Exception):
    """What a library raises with a provider's words; it repeats them, as litellm does."""

    status_code = 429

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def body(size: int) -> bytes:
    """Make a refusal of about this size that has something of a credential in it again and again."""
    return json.dumps({"error": {"code": 429, "message": "a_b password=abc1 def " * (size // 22)}}).encode()


@contextlib.contextmanager
def refusing(refusal: bytes) -> Iterator[str]:
    """Run the provider and give its address."""
    head = f"HTTP/1.1 429 No\r\nContent-Type: application/json\r\nContent-Length: {len(refusal)}\r\nConnection: close\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_refuse, args=(server, head.encode() + refusal), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _refuse(server: socket.socket, answer: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                connection.sendall(answer)


async def held_ms(route: str, size: int, rounds: int) -> float:
    """Return how long one call with such an answer held the loop."""
    worst: list[float] = []
    with refusing(body(size)) as url:
        llm = Llm(**ROUTES[route], api_base=url, api_key=KEY, plan=RetryPlan(attempts=1))  # type: ignore[arg-type]  # litellm's
        for _ in range(rounds + 1):
            gaps: list[float] = []
            ticking = asyncio.create_task(_tick(gaps))
            await asyncio.sleep(2 * _TICK_S)
            with contextlib.suppress(LlmError):
                await llm.complete([{"role": "user", "content": "hello"}])
            await asyncio.sleep(2 * _TICK_S)
            ticking.cancel()
            worst.append(max(gaps))
    return statistics.median(worst[1:]) * 1000


async def _tick(gaps: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(_TICK_S)
        gaps.append(time.perf_counter() - before - _TICK_S)


def ours_ms(size: int, rounds: int) -> float:
    """Return the CPU time that we spend on an error with a text of this size."""
    text, spent = body(size).decode(), []
    secrets = known_secrets({"api_key": KEY})
    for _ in range(rounds + 1):
        error = _raised(text)
        begun = time.process_time()
        classify(error, now=datetime.now(UTC), secrets=secrets)
        scrub(error, secrets)
        record = logging.LogRecord("bench", logging.ERROR, "", 0, "call.failed", None, (type(error), error, error.__traceback__))
        Redaction(secrets).filter(record)
        spent.append(time.process_time() - begun)
    return statistics.median(spent[1:]) * 1000


def _raised(text: str) -> Exception:
    """Make an error with two causes, each with the same words."""
    try:
        try:
            try:
                raise ProviderError(text)
            except ProviderError as error:
                raise ProviderError(f"Error code: 429 - {text}") from error
        except ProviderError as error:
            raise ProviderError(f"litellm.RateLimitError: {text}") from error
    except ProviderError as error:
        return error


async def measure(rounds: int, sizes: Sequence[int]) -> list[dict[str, float]]:
    """Return a row for each size: bytes, ours, and each route."""
    load_litellm()
    rows = []
    for size in sizes:
        row = {"bytes": float(size), "ours": ours_ms(size, rounds)}
        for route in ROUTES:
            row[route] = await held_ms(route, size, rounds)
        rows.append(row)
    await close_litellm()
    return rows


def table(rows: Sequence[dict[str, float]]) -> str:
    """Return the rows for people, in milliseconds."""
    head = f"{'body':>12}" + "".join(f"{name:>12}" for name in rows[0] if name != "bytes")
    lines = [f"{row['bytes']:>12,.0f}" + "".join(f"{ms:>12.1f}" for name, ms in row.items() if name != "bytes") for row in rows]
    return "\n".join([f"milliseconds; the goal for ours is {GOAL_MS:g}", head, *lines])


def main(arguments: Sequence[str] | None = None, sizes: Sequence[int] = SIZES) -> int:
    """Measure and print; figures never fail the run."""
    parser = argparse.ArgumentParser(description="How long a provider's error holds the event loop.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="calls that count (5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    rows = asyncio.run(measure(given.rounds, sizes))
    print(json.dumps({"goal_ms": GOAL_MS, "rounds": given.rounds, "rows": rows}) if given.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
