"""Write the tables and examples of docs/wire.md from the models, the names and the examples.

    python docs/make_wire.py [--check]

With ``--check`` nothing is written; the exit code is 1 when the page is not up to date.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from docs import blocks
from docs.wire_examples import CURSOR, EXAMPLES, GAP, OUTCOMES, on_the_wire
from tidings.bus import messages as m
from tidings.bus.channels import PLANES, Names
from tidings.bus.controller import OUTCOME_S
from tidings.bus.presence import KEEP_S
from tidings.bus.publisher import RETENTION, RETENTION_S
from tidings.bus.records import Record
from tidings.bus.states import State

DOCS = Path(__file__).resolve().parent

_OBJECTS: Mapping[type[BaseModel], str] = {m.WorkerRef: "worker", m.Wait: "wait", m.Progress: "progress"}
"""Objects within the data of several types: explained once, under these names."""
_WORDS: Mapping[type[StrEnum], str] = {State: "state", m.Reason: "reason", m.Result: "result"}
"""Lists of words, likewise."""
_NAMED = {kind.__name__: f"[{name}](#what-several-types-carry)" for kind, name in [*_OBJECTS.items(), *_WORDS.items()]}
_WIDE = 100
"""Columns after which an object in an example is broken into lines."""


# names


def names() -> str:
    """Return every key and channel, without a prefix and with one."""
    plain, prefixed = Names(), Names("acme.")
    lines = ["| what | in Redis | name | with the prefix `acme.` | kept |", "|---|---|---|---|---|"]
    for (what, kind, kept), one, two in zip(_THINGS, _every(plain), _every(prefixed), strict=True):
        lines.append(f"| {what} | {kind} | `{one}` | `{two}` | {kept} |")
    return "\n".join(lines)


_HOURS = 3600.0
_CHANNEL = "not: what is published is in the log as well"
_THINGS = (
    ("status of a session", "channel", _CHANNEL),
    ("history of a session", "channel", _CHANNEL),
    ("commands for a session", "channel", _CHANNEL),
    ("outcomes of its commands", "channel", "not: the outcome is in its own key"),
    ("wake-up of the workers", "channel", "not: the sessions are in `ready`; the message is a session id"),
    ("log of the status", "stream", f"the newest {RETENTION}, for {RETENTION_S / _HOURS:g} h after the last"),
    ("log of the history", "stream", "everything, until the session is deleted"),
    ("log of the commands", "stream", "until a controller has handled them"),
    ("session record", "hash", "for good; of a deleted session a tombstone"),
    ("outcome of one command", "string", f"{OUTCOME_S / _HOURS:g} h"),
    ("id of the command that was sent under a key of its sender's", "string", f"{OUTCOME_S / _HOURS:g} h"),
    ("sessions of a queue that want a worker", "sorted set", "by the time at which they were queued"),
    ("the same, of those that name their agent", "sorted set", "by the time at which they were queued"),
    ("sessions that want a controller", "sorted set", "by the time at which to look at them"),
    ("all sessions and their states", "hash", "until they are deleted"),
    ("children of a session, as its people see them", "hash", "everything, in one JSON object each"),
    ("processes, by when they were last heard of", "sorted set", f"{KEEP_S / _HOURS:g} h after the last word of a process"),
    ("what processes say of themselves", "hash", "likewise, in one JSON object each"),
)


def _every(names: Names) -> tuple[str, ...]:
    session, command = "demo", "<command id>"
    channels = tuple(names.channel(plane, session) for plane in PLANES)
    logs = tuple(names.log(plane, session) for plane in PLANES)
    keys = (
        names.record(session),
        names.outcome(session, command),
        names.key(session, "<digest>"),
        names.ready("<queue>"),
        names.ready("<queue>", "<agent>"),
        names.due,
        names.sessions,
    )
    kin = (names.children(session), names.seen, names.presences)
    return (*channels, names.outcomes(session), names.wake, *logs, *keys, *kin)


# messages


def types(models: Sequence[type[m.Body]]) -> str:
    """Return what there is to know of each type of one plane: a sentence, an example, the fields of ``data``."""
    return "\n\n".join(_section(model) for model in models)


def _ours(plane: type[m.Body]) -> list[type[m.Body]]:
    return [kind for kind in m.TYPES.values() if issubclass(kind, plane) and kind in EXAMPLES]


def _section(model: type[m.Body]) -> str:
    example = shown(json.loads(on_the_wire(EXAMPLES[model])))
    head = f"### `{model.type}`\n\n{_sentence(model)}"
    return f"{head}\n\n```json\n{example}\n```\n\n{field_table(model)}"


def shared() -> str:
    """Return the words and the objects that several types carry."""
    parts = [f"**{name}**: one of {', '.join(f'`{word}`' for word in words)}." for words, name in _WORDS.items()]
    parts += [f"**{name}**: {_lower(_sentence(model))}\n\n{field_table(model)}" for model, name in _OBJECTS.items()]
    return "\n\n".join(parts)


def outcomes() -> str:
    """Return an applied and a refused outcome, and their fields."""
    examples = "\n".join(json.dumps(json.loads(outcome.model_dump_json()), ensure_ascii=False) for outcome in OUTCOMES)
    return f"```json\n{examples}\n```\n\n{field_table(m.Outcome)}"


def places() -> str:
    """Return a cursor and a gap as JSON."""
    cursor, gap = json.dumps(CURSOR._asdict()), json.dumps({"gap": asdict(GAP)})
    return f"```json\n{cursor}\n{gap}\n```"


def record() -> str:
    """Return the fields of the session record; what is None in Python is empty there, and a truth is 0 or 1."""
    meanings = {name: text.replace("None", "empty").replace("False", "0") for name, text in _described(Record).items()}
    lines = ["| field | meaning |", "|---|---|"]
    lines += [f"| `{field.name}` | {_meaning(meanings, field.name)} |" for field in fields(Record) if field.name != "session"]
    return "\n".join(lines)


def shown(value: object, indent: int = 0) -> str:
    """Return JSON as people read it: on one line where that is short, else a line for each member."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict) or indent + len(flat) <= _WIDE:
        return flat
    margin = " " * (indent + 2)
    members = [f"{margin}{json.dumps(key)}: {shown(item, indent + 2)}" for key, item in value.items()]
    return "{\n" + ",\n".join(members) + "\n" + " " * indent + "}"


# fields


def field_table(model: type[BaseModel]) -> str:
    """Return the fields of a model: name on the wire, kind of JSON, meaning.

    Raises:
        ValueError: a field is not explained in the docstring of its model, nor in that of ``Wait``, whose words are everybody's.
    """
    schema = model.model_json_schema(mode="serialization")
    meanings = _described(m.Wait) | _described(model)
    lines = ["| field | JSON | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        wire = field.serialization_alias or field.alias or name
        kind = _kind(schema["properties"][wire], schema.get("$defs", {}))
        lines.append(f"| `{wire}` | {kind} | {_meaning(meanings, name)} |")
    return "\n".join(lines)


def _kind(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Name the kind of JSON that a part of a schema stands for."""
    if "anyOf" in schema:
        return " or ".join(_kind(one, known) for one in schema["anyOf"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _NAMED[name] if name in _NAMED else _kind(known[name], known)
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any")).replace("array", "list")


def _described(kind: type) -> dict[str, str]:
    """Return what the docstrings of a class and of those above it say of its attributes."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        _, _, text = inspect.cleandoc(one.__dict__.get("__doc__") or "").partition("Attributes:\n")
        for entry in re.finditer(r"^ {4}(\w[\w, ]*): ((?:.+)(?:\n {8}.+)*)", text, re.MULTILINE):
            meaning = " ".join(entry[2].split())
            found |= dict.fromkeys(entry[1].rstrip("_").split(", "), meaning)
    return found


def _meaning(meanings: Mapping[str, str], name: str) -> str:
    try:
        return _plain(meanings[name.rstrip("_")])
    except KeyError:
        raise ValueError(f"say in the docstring of its class, under Attributes, what {name!r} is") from None


def _sentence(kind: type) -> str:
    return _plain(inspect.cleandoc(kind.__doc__ or "").splitlines()[0])


def _plain(text: str) -> str:
    """Return text of a docstring as Markdown, with the words of JSON in place of Python's."""
    return re.sub(r"\bNone\b", "null", text).replace("``", "`").replace("|", "\\|")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def page(text: str) -> str:
    """Return the page with all that is written by code."""
    parts = {"names": names(), "shared": shared(), "outcomes": outcomes(), "places": places(), "record": record()}
    parts |= {name: types(_ours(plane)) for name, plane in (("notices", m.Notice), ("events", m.Event), ("commands", m.Command))}
    return blocks.written(text, parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; return the exit code."""
    path = DOCS / "wire.md"
    return blocks.run("docs/make_wire.py", {path: page(path.read_text(encoding="utf-8"))}, arguments)


if __name__ == "__main__":
    sys.exit(main())
