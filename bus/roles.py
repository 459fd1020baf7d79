"""Rights on the server: the least of each role, as a table, as ACL rules, and as commands to try them with.

Redis checks each command of a script against the rights of its caller, so the table lists what the scripts do, too. Rights are by
key and command; they cannot look into a hash. A role that may write session records (each but a viewer) could also write nonsense
into them; what the table keeps apart is which role writes which log and publishes on which channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tidings.bus.channels import Names


class Role(StrEnum):
    """What a process or a person does on the bus."""

    WORKER = "worker"
    CONTROLLER = "controller"
    PERSON = "person"
    """Looks, and sends commands."""
    VIEWER = "viewer"
    """Looks, and changes nothing."""
    GATEWAY = "gateway"
    """Looks and sends commands on behalf of its users, and says that it is there."""


_EVERYBODY = "discard exec info multi ping select time"
_SCRIPTS = "eval evalsha"
_ATTEND = {"seen": "zadd zrangebyscore zrem", "presences": "hdel hset"}
_LOOK = {
    "record": "hgetall hmget",
    "events": "xrange",
    "status": "xrange",
    "commands": "xrange",
    "children": "hgetall",
    "sessions": "hscan",
    "ready": "zcard zrange",
    "due": "zcard zrange",
    "seen": "zrange",
    "presences": "hmget",
}

_PERSON = _LOOK | {
    "record": "exists hexists hget hgetall hincrby hmget hset pexpire",
    "commands": "pexpire xadd xlen xrange",
    "due": "zadd zcard zrange",
    "outcome": "get set",
    "key": "get set",
}

_KEYS: Mapping[Role, Mapping[str, str]] = {
    Role.WORKER: {
        "record": "hexists hget hgetall hincrby hmget hset hsetnx persist pexpire",
        "events": "xadd xrange",
        "status": "pexpire xadd xrange xtrim",
        "commands": "pexpire xadd xlen xrange",
        "outcome": "get",
        "children": "hgetall",
        "ready": "zadd zrange zrem",
        "due": "zadd zrem",
        "sessions": "hset",
        **_ATTEND,
    },
    Role.CONTROLLER: {
        "record": "del exists hexists hget hgetall hincrby hmget hset persist pexpire",
        "events": "del xadd xrange",
        "status": "del pexpire xadd xtrim",
        "commands": "del persist pexpire xadd xlen xrange xtrim",
        "outcome": "exists get set",
        "children": "del exists hgetall hset",
        "ready": "zadd zrem",
        "due": "zadd zrangebyscore zrem",
        "sessions": "hdel hset",
        "seen": "zadd zrange zrangebyscore zrem",
        "presences": "hdel hmget hset",
    },
    Role.PERSON: _PERSON,
    Role.VIEWER: _LOOK,
    Role.GATEWAY: _PERSON | {"seen": "zadd zrange zrangebyscore zrem", "presences": "hdel hmget hset"},
}
"""Commands by what they work on, for each role."""

_SCRIPTED: Mapping[Role, str] = {
    Role.WORKER: " ".join(_KEYS[Role.WORKER]),
    Role.CONTROLLER: " ".join(_KEYS[Role.CONTROLLER]),
    Role.PERSON: "record commands due outcome key",
    Role.GATEWAY: "record commands due outcome key seen presences",
}
"""What scripts are given as KEYS, which must be open to reading and writing as a whole."""

_PUBLISH: Mapping[Role, str] = {
    Role.WORKER: "commands events status wake",
    Role.CONTROLLER: "commands events status outcomes wake",
    Role.PERSON: "commands",
    Role.GATEWAY: "commands",
}
_SUBSCRIBE: Mapping[Role, str] = {
    Role.WORKER: "status wake",
    Role.PERSON: "commands events outcomes status",
    Role.VIEWER: "commands events status",
    Role.GATEWAY: "commands events outcomes status",
}
_PATTERN: Mapping[Role, tuple[str, ...]] = {
    Role.CONTROLLER: ("commands", "status"),
    Role.PERSON: ("status",),
    Role.VIEWER: ("status",),
    Role.GATEWAY: ("status",),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """Some commands on some keys or channels.

    Attributes:
        commands: in lower case.
        keys: names of keys; those of sessions with a ``*`` for the session.
        channels: likewise.
    """

    commands: tuple[str, ...]
    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    def rule(self) -> str:
        """Return it in the words of ACL SETUSER."""
        words = [f"+{command}" for command in self.commands]
        words += [f"~{key}" for key in self.keys]
        return " ".join(words + [f"&{channel}" for channel in self.channels])


def grants(role: Role, names: Names) -> tuple[Grant, ...]:
    """Return the least that a role needs; the first grant has no keys and no channels."""
    keys, channels = _every_key(names), _every_channel(names)
    found = [Grant(tuple(_EVERYBODY.split()))]
    if role in _SCRIPTED:
        found.append(Grant(tuple(_SCRIPTS.split()), tuple(keys[what] for what in _SCRIPTED[role].split())))
    # What is wrong with a key is told by its type.
    found.append(Grant(("type",), tuple(keys[what] for what in _KEYS[role])))
    found += [Grant(tuple(commands.split()), (keys[what],)) for what, commands in _KEYS[role].items()]
    for commands, wanted in (("publish", _PUBLISH), ("subscribe unsubscribe", _SUBSCRIBE)):
        if role in wanted:
            found.append(Grant(tuple(commands.split()), (), tuple(channels[what] for what in wanted[role].split())))
    if role in _PATTERN:
        found.append(Grant(("psubscribe", "punsubscribe"), (), (names.pattern(_PATTERN[role]),)))
    return tuple(found)


def acl(role: Role, names: Names) -> str:
    """Return the rights of a role in the words of ACL SETUSER, to follow ``user NAME on >PASSWORD``."""
    general, *others = grants(role, names)
    return " ".join(["resetchannels", "-@all", general.rule(), *(f"({grant.rule()})" for grant in others)])


def _every_key(names: Names) -> dict[str, str]:
    return {
        "record": names.record("*"),
        "events": names.log("events", "*"),
        "status": names.log("status", "*"),
        "commands": names.log("commands", "*"),
        "outcome": names.outcome("*", "*"),
        "key": names.key("*", "*"),
        "children": names.children("*"),
        "ready": names.ready("*"),
        "due": names.due,
        "sessions": names.sessions,
        "seen": names.seen,
        "presences": names.presences,
    }


def _every_channel(names: Names) -> dict[str, str]:
    planes = {plane: names.channel(plane, "*") for plane in ("events", "status", "commands")}
    return planes | {"outcomes": names.outcomes("*"), "wake": names.wake}


_SAMPLE = "doctor"
"""The session that commands to try rights with are about; none of them is carried out."""
_ARGUMENTS: Mapping[str, str] = {
    "del": "",
    "exists": "",
    "get": "",
    "hdel": "f",
    "hexists": "f",
    "hget": "f",
    "hgetall": "",
    "hincrby": "f 1",
    "hmget": "f",
    "hscan": "0",
    "hset": "f v",
    "hsetnx": "f v",
    "persist": "",
    "pexpire": "1",
    "publish": "m",
    "set": "v",
    "type": "",
    "xadd": "* f v",
    "xlen": "",
    "xrange": "- +",
    "xtrim": "MAXLEN 1",
    "zadd": "1 m",
    "zcard": "",
    "zrange": "0 0",
    "zrangebyscore": "0 1",
    "zrem": "m",
}
"""What follows the key or the channel where a command is to be understood."""


def trials(role: Role, names: Names) -> Iterator[tuple[str, ...]]:
    """Yield commands that together need all the rights of a role; meant to be queued in a transaction and discarded."""
    yield ("TIME",)
    yield ("PING",)
    for grant in grants(role, names)[1:]:
        keys = [key.replace("*", _SAMPLE) for key in grant.keys]
        for command in grant.commands:
            if command in _SCRIPTS.split():
                yield (command.upper(), "return 1", str(len(keys)), *keys)
            elif command == "psubscribe":
                yield from ((command.upper(), pattern) for pattern in grant.channels)
            elif command not in ("unsubscribe", "punsubscribe"):
                places = keys or [channel.replace("*", _SAMPLE) for channel in grant.channels]
                arguments = _ARGUMENTS.get(command, "").split()
                yield from ((command.upper(), place, *arguments) for place in places)
