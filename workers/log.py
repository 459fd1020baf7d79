"""Logging: one line a record on stderr, for people or as JSON, with every secret taken out.

A record of ours has a fixed dotted name as its message (``worker.claimed``) and what belongs to it in
``extra``. Records of other packages come through the same handler, as ``log.message`` with their text.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from tidings.bus.redaction import REDACTED, environment_secrets, one_line, redact

ROOT: Final = "tidings"
"""The logger above all of ours; the level that people set is the level of this one."""

FOREIGN_EVENT: Final = "log.message"
"""The event of a record that is not one of ours; its text is in the field ``message``."""

_EVENT: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
_MARK: Final = "tidings_redacted"
"""Attribute of a record that has been cleaned, at its logger for example: the secrets that it was cleaned of."""
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", _MARK}
_OURS: Final = frozenset({"time", "level", "logger", "event", "message", "error", "traceback"})
_LONGEST_VALUE: Final = 4_000
_LONGEST_TRACEBACK: Final = 20_000
_DEEPEST: Final = 4
_COLOURS: Final = {"warning": "33", "error": "31", "critical": "1;31"}


def configure_logging(level: str, *, as_json: bool = False, secrets: Iterable[str] = ()) -> None:
    """Send every log record of this process to stderr, in place of what was configured before.

    Args:
        level: least level of our own records; those of other packages are shown from ``warning`` on, because
            what they say below that may hold prompts.
        as_json: one JSON object a line in place of text.
        secrets: values to take out, besides those that the environment holds.
    """
    handler = StderrHandler()
    handler.addFilter(Redaction(frozenset(secrets) | environment_secrets(os.environ)))
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(ROOT).setLevel(level.upper())
    logging.captureWarnings(True)


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what ``sys.stderr`` is at that moment; a live table puts something else there for a while."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Where the lines go."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        raise AttributeError("the stream is always sys.stderr")


class Redaction(logging.Filter):
    """Takes secrets out of a record: its text, its fields and its traceback. It lets every record pass.

    Args:
        secrets: values to take out wherever they stand; what has the shape of a credential goes in any case.
    """

    def __init__(self, secrets: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record in place, so that no handler after this one sees more."""
        done: frozenset[str] | None = record.__dict__.get(_MARK)
        if done is not None and self._secrets <= done:
            return True
        record.msg, record.args = self._text(_message(record)), None
        for name, value in _fields(record):
            del record.__dict__[name]
            record.__dict__[self._text(name)] = self._value(name, value)
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._text(record.exc_text, _LONGEST_TRACEBACK)
        if record.stack_info:
            record.stack_info = self._text(record.stack_info, _LONGEST_TRACEBACK)
        record.__dict__[_MARK] = self._secrets
        return True

    def _text(self, text: str, limit: int = _LONGEST_VALUE) -> str:
        return redact(text, self._secrets, limit)

    def _value(self, name: str, value: object, depth: int = 0) -> Any:
        """Return a value that JSON can carry, without secrets."""
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, str):
            return REDACTED if environment_secrets({name: value[:_LONGEST_VALUE]}) else self._text(str(value))
        if isinstance(value, Mapping) and depth < _DEEPEST:
            return {self._text(str(key)): self._value(str(key), item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
            return [self._value(name, item, depth + 1) for item in value]
        return self._text(_shown(value))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII: time, level, logger, event, then the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event, text = _event(record)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
        }
        if text:
            line["message"] = text
        for name, value in _fields(record):
            line[f"{name}_" if name in _OURS else name] = value
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, default=_shown)


class TextFormatter(logging.Formatter):
    """A line for a person: time of day, level, event, fields; a traceback on the lines below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, in colour on a terminal."""
        event, text = _event(record)
        level = record.levelname.lower()
        parts = [self.formatTime(record, "%H:%M:%S"), f"{level:<7}", one_line(text, 1000) if text else event]
        parts += [f"{one_line(name, 100)}={_short(value)}" for name, value in _fields(record)]
        line = " ".join(parts)
        if level in _COLOURS and _in_colour():
            line = f"\x1b[{_COLOURS[level]}m{line}\x1b[0m"
        below = [_harmless(text) for text in (record.exc_text, record.stack_info) if text]
        return "\n".join([line, *below])


def _event(record: logging.LogRecord) -> tuple[str, str]:
    """Return the event of a record, and its text where it is not one of ours."""
    text = _message(record)
    return (text, "") if _EVENT.fullmatch(text) else (FOREIGN_EVENT, text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        return str(record.msg)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """Yield what was given in ``extra``."""
    for name, value in tuple(record.__dict__.items()):
        if name not in _STANDARD:
            yield name, value


def _shown(value: object) -> str:
    """Return the text of any object; one with a broken ``__str__`` does no harm."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _short(value: object) -> str:
    text = one_line(_shown(value), 300)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text


def _harmless(text: str) -> str:
    """Return lines without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _in_colour() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
