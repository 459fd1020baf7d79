"""Read out of a provider's answer how long it asks us to wait.

Providers say it in many ways. From the most to the least explicit:

1. the header `retry-after-ms` or `x-ms-retry-after-ms`, in milliseconds;
2. the header `retry-after`: seconds, whole or not, or an HTTP date (RFC 9110, section 10.2.3);
3. a field of the body with a name that says so, at any depth (`fields`): `retryDelay` (`google.rpc.RetryInfo`),
   `resets_in_seconds` and `resets_at`, `retry_after`, `quotaResetTimeStamp`, Hugging Face's `estimated_time`;
4. the text (`prose`): "Please try again in 1m30s", "resets at 2026-12-01 10:00 UTC";
5. the times at which the allowances are full again, in headers (`allowances`).

The first of these that can be read wins; in the body, what says when to ask again before what says when a limit is reset.

A date counts from the answer's own `Date` header if there is one, so that a wrong clock on either side does
not matter. What is negative, infinite, not a number or not understood is passed over. In headers a date in the past
means 0; in a body and in words it says nothing, no more than a 0 or a wait of more than a year.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timezone
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Final

from tidings.workers.retry import allowances, fields, prose
from tidings.workers.retry.answer import ECHOES, TEXT_LIMIT, lower_headers
from tidings.workers.retry.fields import WaitHint

LONGEST_HINT_S: Final = 366 * 86_400.0
"""A longer `Retry-After` is cut to a leap year, so that adding it to an instant cannot overflow."""

SHORTEST_END_S: Final = 3_600.0
"""A `Retry-After` beside a used-up quota says when the quota is back if it is at least this: what is shorter is about the
minute (Google sends 37 seconds beside a quota by the day), or what a gateway always says."""

_JOINED: Final = 8
_NODES: Final = 200
_WIDTH: Final = 64
_DEPTH: Final = 8


def retry_after(
    headers: Mapping[str, str] | None,
    body: object,
    text: str,
    *,
    now: datetime,
    resets: bool = True,
    spent_only: bool = False,
) -> float | None:
    """Find the wait that a provider asks for.

    Args:
        headers: Of the answer; names in any case.
        body: The parsed JSON of the answer, or anything else.
        text: The message for people, in which some providers hide the wait.
        now: An aware instant, for dates in an answer that carries no `Date`.
        resets: Whether the reset times of allowances count. They say when a *rate limit* ends; after an
            overload or a broken connection they say nothing about when to come back.
        spent_only: Whether the reset of an allowance that has something left counts for nothing. With a limit by the
            day it does: the allowance of the minute, which is full again in a moment, stands beside it.

    Returns:
        Seconds, finite, from 0 to `LONGEST_HINT_S`; None if the answer does not say. It raises for
        no answer.
    """
    known = lower_headers(headers)
    since = _http_date(known.get("date", "")) or now
    told = next(_told(known, body, text, since), None)
    if told is not None:
        return told.seconds
    reset = allowances.reset_s(known, since, spent_only=spent_only) if resets else None
    return None if reset is None or reset > LONGEST_HINT_S else reset


def renewed_after(headers: Mapping[str, str] | None, body: object, text: str, *, now: datetime) -> float | None:
    """Find when a used-up quota is back, where the answer says so and does not only say when to ask again.

    Returns:
        Seconds, more than 0 and up to `LONGEST_HINT_S`; None if the answer does not say.
    """
    known = lower_headers(headers)
    since = _http_date(known.get("date", "")) or now
    for told in _told(known, body, text, since):
        if told.seconds > 0 and (told.resets or told.seconds >= SHORTEST_END_S):
            return told.seconds
    reset = allowances.reset_s(known, since, spent_only=True)
    return reset if reset is not None and SHORTEST_END_S <= reset <= LONGEST_HINT_S else None


def _told(headers: Mapping[str, str], body: object, text: str, since: datetime) -> Iterator[WaitHint]:
    """Yield what an answer says outright, the most explicit first."""
    yield from _of_headers(headers, since)
    text = text[:TEXT_LIMIT]
    zone = prose.zone_of(text)
    in_body = [told for told in _of_body(body, since, zone) if told.seconds <= LONGEST_HINT_S]
    yield from (told for told in in_body if not told.resets)
    yield from (told for told in in_body if told.resets)
    yield from (told for told in prose.waits(text, now=since, zone=zone) if told.seconds <= LONGEST_HINT_S)


def _of_headers(headers: Mapping[str, str], since: datetime) -> Iterator[WaitHint]:
    """Read the headers that say when to ask again, `retry-after` and what is named like it; milliseconds are finer."""
    names = [name for name in headers if "retry" in name and fields.asks(fields.words(name))]
    for name in sorted(names, key=lambda name: (not name.endswith("-ms"), name != "retry-after")):
        seconds = _of_header(name, headers[name], since)
        if seconds is not None:
            yield WaitHint(min(max(0.0, seconds), LONGEST_HINT_S), resets=False)


def _of_header(name: str, value: str, since: datetime) -> float | None:
    words = fields.words(name)
    seconds = fields.seconds_of(words, value, now=since, zone=UTC)
    if seconds is not None:
        return seconds
    if instant := _http_date(value):
        return (instant - since).total_seconds()
    # A provider and a proxy before it may each add the header; libraries join them.
    waits = [fields.seconds_of(words, part, now=since, zone=UTC) for part in value.split(",", _JOINED)[:_JOINED]]
    return None if None in waits else max(wait for wait in waits if wait is not None)


def _of_body(body: object, since: datetime, zone: timezone) -> Iterator[WaitHint]:
    """Yield the waits in the fields of a body, the outer ones first."""
    for node, above in _objects(body):
        some_left = allowances.has_some_left(node)
        named = [(fields.words(str(key)), value) for key, value in islice(node.items(), _WIDTH)]
        for name, value in sorted(named, key=lambda field: fields.is_instant(field[0])):  # seconds need no clock
            found = fields.wait(name, value, now=since, zone=zone)
            if found is None and fields.says_when(name):  # {"retry": {"after_seconds": 5}}
                found = fields.wait((*above, *name), value, now=since, zone=zone)
            if found and not (some_left and found.resets and found.seconds > allowances.PASSED_OVER_S):
                yield found


def _objects(body: object) -> Iterator[tuple[Mapping[str, object], tuple[str, ...]]]:
    """Yield the objects of a body with the words of the field that each is in; what repeats the request is left out."""
    nodes: deque[tuple[object, tuple[str, ...], int]] = deque([(body, (), 0)])
    for _ in range(_NODES):
        if not nodes:
            return
        node, name, depth = nodes.popleft()
        node = _unwrapped(node) if isinstance(node, str) else node
        if isinstance(node, Mapping):
            yield node, name
        if depth < _DEPTH:
            nodes.extend((inner, words, depth + 1) for inner, words in islice(_inside(node), _NODES - len(nodes)))


def _inside(node: object) -> Iterator[tuple[object, tuple[str, ...]]]:
    """Yield what in an object or a list may hold fields."""
    named: Iterable[tuple[object, object]] = ()
    if isinstance(node, Mapping):
        named = islice(node.items(), _WIDTH)
    elif isinstance(node, list):
        named = (("", item) for item in node[:_WIDTH])
    for key, value in named:
        holds = isinstance(value, Mapping | list) or (isinstance(value, str) and value.lstrip()[:1] in ("{", "["))
        if holds and str(key).lower() not in ECHOES:
            yield value, fields.words(str(key))


def _unwrapped(text: str) -> object:
    """Parse JSON that is passed on as text, in a message or in OpenRouter's `raw`."""
    if not text.lstrip().startswith(("{", "[")) or len(text) > TEXT_LIMIT * 4:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _http_date(value: str) -> datetime | None:
    """Read any of the three forms that RFC 9110, section 5.6.7, obliges a recipient to accept."""
    try:
        instant = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # "-0000" and the asctime form come back naive; HTTP dates are always in UTC.
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
