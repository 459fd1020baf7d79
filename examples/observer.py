"""Read along with redis-py alone: nothing of Tidings is imported here, and any Redis client can do the same.

    python examples/observer.py redis://127.0.0.1:6379/0

What is on the wire is plain JSON. The channels are ``status.<session>``, ``events.<session>`` and ``commands.<session>``,
with the installation's prefix before them if it has one. docs/wire.md has an example of each message.

What this cannot do: Pub/Sub forgets whoever is not connected. When the connection was broken this shows the sessions as
they are again, but not what was told meanwhile; Tidings' own subscriptions read that from the log. And PUBLISH slows down
with each pattern that somebody registers: one observer of ``status.*`` is fine, a hundred are not. For a single session
subscribe to its channel.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry


def observe(client: redis.Redis) -> Iterator[str]:
    """Yield a line for each session as it is now, then one for each notice as it comes."""
    with client.pubsub() as pubsub:  # type: ignore[no-untyped-call]  # redis-py has no types for it
        pubsub.psubscribe("status.*")
        for message in pubsub.listen():
            if message["type"] == "psubscribe":
                # Only now: what changes from here on is received, so nothing falls between this look and the notices. It comes
                # once more when redis-py has connected again, and something may have been missed.
                yield from _present(client)
            elif message["type"] == "pmessage":
                yield _line(json.loads(message["data"]))


def _present(client: redis.Redis) -> Iterator[str]:
    states: Any = client.hgetall("{0}:sessions")
    for session, state in sorted(states.items()):
        yield f"{session.decode():<16} is {state.decode()}"


def _line(notice: dict[str, Any]) -> str:
    """Say what a notice says; of types that are not known here, just that there was one."""
    data, session, kind = notice["data"], notice["subject"], notice["type"]
    told = ""
    if kind == "llm.retry":
        told = f"attempt {data['attempt']} of {data['max_attempts']}: {data['reason']}, again at {data['retry_at']}"
    elif kind == "llm.attempt":
        told = f"attempt {data['attempt']} of {data['max_attempts']} goes out"
    elif kind in ("llm.rate_limited", "llm.parked"):
        told = f"parked: {data['reason']}, until {data['resume_at'] or 'somebody resumes it'}"
    elif kind == "session.state":
        told = f"{data['from'] or 'new'} -> {data['to']}: {data['why']}"
    elif kind in ("worker.claimed", "worker.released"):
        told = data["worker"]["name"]
    return f"{session:<16} {kind:<16} {told}".rstrip()


def main() -> None:
    """Print until Ctrl-C."""
    address = sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379/0"
    client = redis.Redis.from_url(address, retry=Retry(ExponentialBackoff(cap=1), 8))
    for line in observe(client):
        # The words come from providers and people: show nothing that a terminal would obey.
        print("".join(letter if letter.isprintable() else " " for letter in line), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except redis.RedisError as error:
        sys.exit(f"observer: {error}")
