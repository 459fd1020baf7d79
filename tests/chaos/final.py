"""What is there when a run is over: read past the proxies, and noted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from tests.chaos import record
from tidings.bus.channels import Names
from tidings.bus.messages import decode
from tidings.bus.records import Record, offset_of, parse_record
from tidings.bus.states import State

_NAMES = Names()
_MOVING = frozenset({State.QUEUED, State.RUNNING, State.RETRYING})


async def sessions_of(client: redis.Redis, known: Iterable[str]) -> list[str]:
    """Return every session that has a record, and those that are known of."""
    prefix = _NAMES.record("")
    found = [key.decode().removeprefix(prefix) async for key in client.scan_iter(f"{prefix}*", count=1000)]
    return sorted({*known, *found})


async def attended(client: redis.Redis, count: int) -> bool:
    """Return whether so many workers and controllers have said that they are there."""
    return int(await client.zcard(_NAMES.seen)) >= count


async def at_rest(client: redis.Redis) -> bool:
    """Return whether nothing moves any more: nothing is queued, held, due or waits for a controller."""
    pipeline = client.pipeline()
    sessions = await sessions_of(client, ())
    for session in sessions:
        pipeline.hgetall(_NAMES.record(session))
    pipeline.zcard(_NAMES.ready())
    pipeline.zcard(_NAMES.due)
    *hashes, ready, due = await pipeline.execute()
    return not (ready or due) and all(
        _rests(parse_record(session, fields)) for session, fields in zip(sessions, hashes, strict=True)
    )


def _rests(found: Record | None) -> bool:
    if found is None:
        return True
    return not found.held and found.state not in _MOVING and found.commands == found.handled


async def note_final(client: redis.Redis, recorder: record.Recorder, known: Iterable[str], alive: tuple[str, ...]) -> None:
    """Note each session as it stands."""
    for session in await sessions_of(client, known):
        pipeline = client.pipeline(transaction=True)
        pipeline.hgetall(_NAMES.record(session))
        for plane in ("events", "status", "commands"):
            pipeline.xrange(_NAMES.log(plane, session))
        pipeline.zscore(_NAMES.ready(), session)
        pipeline.zscore(_NAMES.due, session)
        recorder.note(_final(session, await pipeline.execute(), alive))


def _final(session: str, found: list[Any], alive: tuple[str, ...]) -> record.Final:
    fields, events, status, commands, ready, due = found
    read: Mapping[bytes, bytes] = fields
    held = parse_record(session, read)
    if held is None:
        return record.Final(session=session, ready=ready is not None, due=_seconds(due), alive=alive)
    return record.Final(
        session=session,
        state=held.state or "",
        epoch=held.epoch,
        version=held.version,
        token=held.token,
        worker=held.worker.name if held.worker else "",
        lease_until=held.lease_until.timestamp() if held.lease_until else None,
        resume_at=held.resume_at.timestamp() if held.resume_at else None,
        ready=ready is not None,
        due=_seconds(due),
        events=held.events,
        status=held.status,
        commands=held.commands,
        handled=held.handled,
        waiting=sum(offset_of(entry) > held.handled for entry in commands),
        parent=held.parent or "",
        pending=held.pending,
        history=tuple(_text("events", entry) for entry in events),
        ring=tuple(_text("status", entry) for entry in status),
        alive=alive,
    )


def _text(plane: str, entry: Any) -> record.Text:
    return record.Text.of(decode(plane, entry[1][b"m"]))


def _seconds(score: float | None) -> float | None:
    return None if score is None else score / 1000


async def note_outcomes(client: redis.Redis, recorder: record.Recorder) -> None:
    """Note every outcome that is kept."""
    async for key in client.scan_iter(_NAMES.outcome("*", "*"), count=1000):
        if value := await client.get(key):
            recorder.note(_outcome(value, "key"))


def _outcome(payload: bytes | str, how: str) -> record.Outcome:
    raw = json.loads(payload)
    return record.Outcome(
        session=raw["session"],
        command=raw["command_id"],
        result=raw["result"],
        how=how,
        state=raw.get("state") or "",
        version=raw.get("version") or 0,
    )


def _stored(payload: bytes) -> record.Stored:
    raw = json.loads(payload)
    return record.Stored(session=raw["subject"], command=raw["id"], offset=raw["offset"])


async def hear_outcomes(url: str, recorder: record.Recorder) -> None:
    """Note every command and outcome that is published, until cancelled; what is said while the server is away is not heard."""
    commands, outcomes = _NAMES.channel("commands", "*"), _NAMES.outcomes("*")
    while True:
        with contextlib.suppress(RedisError, OSError):
            async with redis.Redis.from_url(url) as client, client.pubsub() as pubsub:
                await pubsub.psubscribe(commands, outcomes)
                while True:
                    message = await pubsub.get_message(timeout=1.0)
                    if message is not None and message["type"] == "pmessage":
                        ours = message["pattern"].decode() == commands
                        recorder.note(_stored(message["data"]) if ours else _outcome(message["data"], "channel"))
        await asyncio.sleep(0.02)


async def connections(client: redis.Redis) -> list[str]:
    """Return the clients of the server that are not ourselves."""
    own = await client.client_id()
    return [f"{one.get('name') or one.get('addr')} {one['cmd']}" for one in await client.client_list() if int(one["id"]) != own]


async def until(predicate: Any, seconds: float) -> bool:
    """Wait until something holds, for so long at most; a server that does not answer yet is not there yet."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RedisError, OSError):
            if await predicate():
                return True
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(0.1)
