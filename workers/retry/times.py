"""Read durations and instants as providers write them, for machines and for people, in several languages.

Durations: Go's and Google's (`1h2m3.5s`, `37s`), ISO 8601 (`PT1M30S`), clocks (`00:01:30`, .NET's `5.03:23:11`), words
("2 hours and 5 minutes", "30 秒", "30 Sekunden"). Instants: RFC 3339, dates with a clock ("2026-12-01 at 00:00 UTC",
"Dec 1st, 2026 3:05 PM", "2026年12月1日 10:00"), a clock alone where a zone says which ("10:30 PM (UTC)"), Unix times.

Every pattern is anchored at a digit or a fixed word and what follows is bounded, so that reading is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

BEIJING: Final = timezone(timedelta(hours=8))

_NUMBER: Final = r"[0-9]{1,15}(?:[.,][0-9]{0,15})?"
_UNITS: Final = {
    "ms": (0.001, r"milliseconds?|msecs?|ms|毫秒|ミリ秒|밀리초"),
    "s": (1.0, r"seconds?|secs?|sekunden?|secondes?|segundos?|secondi|s|секунд[уы]?|秒[钟鐘]?|초"),
    "m": (60.0, r"minutes?|mins?|minuten|minutos?|minut[oi]|m|минут[уы]?|分[钟鐘]?|분"),
    "h": (3_600.0, r"hours?|hrs?|stunden?|heures?|horas?|or[ae]|h|час(?:а|ов)?|小时|小時|時間|시간"),
    "d": (86_400.0, r"days?|tage?n?|jours?|d[ií]as?|giorn[oi]|d|дн(?:я|ей)|天|日|일"),
    "w": (604_800.0, r"weeks?|wochen?|semaines?|semanas?|settiman[ae]|w|周|週|주"),
}
_UNIT: Final = "(?:" + "|".join(rf"(?P<{name}>{words})" for name, (_, words) in _UNITS.items()) + r")(?![a-zа-я])"
_PART: Final = re.compile(rf"(?P<number>{_NUMBER})\ ?{_UNIT}", re.IGNORECASE)
_ANY_UNIT: Final = "(?:" + "|".join(words for _, words in _UNITS.values()) + r")(?![a-zа-я])"
_WORDS: Final = rf"{_NUMBER}\ ?{_ANY_UNIT}(?:,?\ ?(?:(?:and|und|et|y|e)\ )?{_NUMBER}\ ?{_ANY_UNIT}){{0,4}}"
_CLOCK: Final = (
    r"(?:(?P<days>[0-9]{1,4})\.)?(?P<hours>[0-9]{1,3}):(?P<minutes>[0-5][0-9]):(?P<seconds>[0-5][0-9](?:\.[0-9]{1,9})?)"
)
_ISO: Final = r"P(?=[0-9T])(?:[0-9]{1,5}D)?(?:T(?:[0-9]{1,7}H)?(?:[0-9]{1,9}M)?(?:[0-9]{1,12}(?:\.[0-9]{1,9})?S)?)?"
_DURATION: Final = re.compile(rf"(?:(?P<words>{_WORDS})|{_CLOCK}|(?P<iso>{_ISO})(?![a-z]))", re.IGNORECASE)
_ONE: Final = re.compile(r"(?:an?|one)\ (?P<unit>minute|hour|day|week)\b", re.IGNORECASE)
_ISO_PART: Final = re.compile(r"([0-9.]+)([DHMS])", re.IGNORECASE)
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})")

_ZONE: Final = r"\(?(?P<zone>(?:UTC|GMT)?\ ?[+-][0-9]{1,2}(?::?[0-9]{2})?|UTC|GMT|Z)(?![a-z0-9])\)?"
_TIME: Final = (
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,][0-9]{1,9})?)?(?:\ ?(?P<half>[ap])\.?m\b\.?)?"
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH: Final = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_AT: Final = r"(?:T|,?\ {1,2}(?:at\ |um\ |à\ |a\ las\ )?|(?<=日))"
_DATES: Final = (
    r"(?P<year>[0-9]{4})[-/年](?P<month>[0-9]{1,2})[-/月](?P<day>[0-9]{1,2})日?",
    rf"{_MONTH}\ (?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?,?\ (?P<year>[0-9]{{4}})",
    rf"(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?[\ -]{_MONTH},?[\ -](?P<year>[0-9]{{4}})",
)
_INSTANTS: Final = tuple(re.compile(rf"{date}(?:{_AT}{_TIME})?(?:\ ?{_ZONE})?(?![0-9])", re.IGNORECASE) for date in _DATES)
_OF_THE_DAY: Final = re.compile(
    rf"(?:(?P<midnight>midnight)|{_TIME}|(?P<hour12>[0-9]{{1,2}})\ ?(?P<half12>[ap])\.?m\b\.?),?\ ?{_ZONE}", re.IGNORECASE
)
_EPOCH: Final = re.compile(r"[1-9](?:[0-9]{9}|[0-9]{12})(?![0-9]|\.[0-9])")
_UNIX_TIME_S: Final = 1_000_000_000
_UNIX_TIME_MS: Final = 100_000_000_000

_JUST_PAST_S: Final = 60.0
_AT_ONCE_S: Final = 5.0
_DIGIT: Final = re.compile(r"(?<![0-9.])[0-9]")
_FOUND: Final = 50


def duration_s(text: str) -> float | None:
    """Read a text that is a duration and nothing else; None if it is none."""
    return _seconds(_DURATION.fullmatch(text.strip()))


def duration_at(text: str, position: int) -> tuple[float, int] | None:
    """Read the duration that begins at a position; return the seconds and where it ends."""
    one = _ONE.match(text, position)
    if one:
        return _UNITS[one["unit"][0].lower()][0], one.end()
    found = _DURATION.match(text, position)
    seconds = _seconds(found)
    return None if found is None or seconds is None else (seconds, found.end())


def instant_at(text: str, position: int, *, now: datetime, zone: timezone) -> tuple[datetime, int] | None:
    """Read the instant that begins at a position; return it and where it ends.

    Args:
        now: Which day a clock without a date means: the next time that it shows that.
        zone: What a date without a zone is in. A clock without a date and a zone is none.
    """
    for pattern in _INSTANTS:
        if (found := pattern.match(text, position)) and (instant := _dated(found, zone)):
            # In the zone that was guessed it may be over already: then it was another.
            over = not found["zone"] and until(instant, now) <= 0
            return (_dated(found, UTC) or instant) if over else instant, found.end()
    if (found := _OF_THE_DAY.match(text, position)) and (instant := _next(found, now)):
        return instant, found.end()
    if found := _EPOCH.match(text, position):
        return unix_time(float(found[0])), found.end()
    return None


def instant(text: str, *, now: datetime, zone: timezone = UTC) -> datetime | None:
    """Read a text that is an instant and nothing else; None if it is none."""
    text = text.strip()
    found = instant_at(text, 0, now=now, zone=zone)
    return found[0] if found and found[1] == len(text) else None


def until(instant: datetime, now: datetime) -> float:
    """Return the seconds to an instant, negative for one that is past.

    One that passed less than a minute ago is five seconds away: the clocks differ, or the answer took its time.
    """
    seconds = (instant - now).total_seconds()
    return seconds if seconds > 0 or seconds < -_JUST_PAST_S else _AT_ONCE_S


def is_unix_time(number: float) -> bool:
    """Whether a number can only be an instant: as a number of seconds it would be more than thirty years."""
    return number >= _UNIX_TIME_S


def unix_time(number: float) -> datetime:
    """Turn a Unix time in seconds, milli-, micro- or nanoseconds into an instant; one beyond the calendar is its end."""
    while number >= _UNIX_TIME_MS:
        number /= 1000
    return datetime.fromtimestamp(number, UTC)


def spans(text: str, *, now: datetime, zone: timezone) -> Iterator[tuple[float, int]]:
    """Yield the durations and instants in a text, in seconds from `now`, with where each ends; at most fifty."""
    position = 0
    for _ in range(_FOUND):
        digit = _DIGIT.search(text, position)
        if digit is None:
            return
        found = told_at(text, digit.start(), now=now, zone=zone)
        position = found[1] if found else _past_the_number(text, digit.end())
        if found:
            yield found


def told_at(text: str, position: int, *, now: datetime, zone: timezone) -> tuple[float, int] | None:
    """Read the instant or duration that begins at a position, in seconds from `now`; return also where it ends."""
    at = instant_at(text, position, now=now, zone=zone)
    if at:
        return until(at[0], now), at[1]
    return duration_at(text, position)


def _past_the_number(text: str, position: int) -> int:
    while position < len(text) and text[position] in "0123456789.":
        position += 1
    return position


def _seconds(found: re.Match[str] | None) -> float | None:
    if found is None:
        return None
    if found["seconds"]:
        days, hours, minutes = (int(found[name] or 0) for name in ("days", "hours", "minutes"))
        return days * 86_400 + hours * 3600 + minutes * 60 + float(found["seconds"])
    if found["iso"]:
        parts = _ISO_PART.findall(found["iso"])
        return sum(float(amount) * _UNITS[unit.lower()][0] for amount, unit in parts) if parts else None
    return sum(_amount(part["number"]) * _UNITS[str(part.lastgroup)][0] for part in _PART.finditer(found["words"]))


def _amount(number: str) -> float:
    """Read a number of people's: "1,234" is a thousand, "1,5" one and a half."""
    return float(number.replace(",", "") if _THOUSANDS.fullmatch(number) else number.replace(",", "."))


def _dated(found: re.Match[str], zone: timezone) -> datetime | None:
    parts = found.groupdict()
    month = int(parts["month"]) if parts.get("month") else _MONTHS.index(parts["name"].lower()) + 1
    try:
        return datetime(
            int(parts["year"]),
            month,
            int(parts["day"]),
            _hour(parts["hour"], parts["half"]),
            int(parts["minute"] or 0),
            int(parts["second"] or 0),
            tzinfo=_zone(parts["zone"]) or zone,
        )
    except (ValueError, OverflowError):
        return None


def _next(found: re.Match[str], now: datetime) -> datetime | None:
    zone = _zone(found["zone"])
    if zone is None:
        return None
    hour = 0 if found["midnight"] else _hour(found["hour"] or found["hour12"], found["half"] or found["half12"])
    try:
        today = now.astimezone(zone).replace(hour=hour, minute=int(found["minute"] or 0), second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    except (ValueError, OverflowError):
        return None


def _hour(hour: str | None, half: str | None) -> int:
    number = int(hour or 0)
    if half is None:
        return number
    return number % 12 + (12 if half.lower() == "p" else 0)


def _zone(text: str | None) -> timezone | None:
    if not text:
        return None
    offset = re.sub(r"[^0-9+-]", "", text)
    if not offset:
        return UTC
    digits = offset[1:]
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    try:
        return timezone((-1 if offset[0] == "-" else 1) * timedelta(hours=int(hours), minutes=int(minutes)))
    except ValueError:
        return None
