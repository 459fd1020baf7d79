"""A compose file as Docker Compose reads it, and what Compose, or a person who starts it, would find wrong with it.

The schema is the part of the Compose Specification that the file uses, and no more: a key that is not listed is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_][A-Z0-9_]*)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")
_DURATION = re.compile(r"(?=\d)(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

Check = Callable[[Any], bool]


def example_names(example: str) -> set[str]:
    """Return the variables that an .env.example names, also those that it only suggests."""
    return set(re.findall(r"^#?([A-Z_][A-Z0-9_]*)=", example, re.MULTILINE))


def read(text: str) -> dict[str, Any]:
    """Parse a compose file, anchors and merges resolved.

    Raises:
        ValueError: a key stands twice, which Compose refuses and Python's reader does not see.
    """
    _check_keys(yaml.compose(text, yaml.SafeLoader))
    return dict(yaml.safe_load(text))


def _check_keys(node: yaml.Node | None) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item)
    elif isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))}: twice")
        for _, item in node.value:
            _check_keys(item)


def interpolated(value: Any, given: Mapping[str, str]) -> Any:
    """Replace variables as Compose does: ``${X}``, ``${X:-default}``, ``${X:?why}``, ``$$``."""
    if isinstance(value, dict):
        return {key: interpolated(item, given) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, given) for item in value]
    return _VARIABLE.sub(lambda found: _value(found, given), value).replace("$$", "$") if isinstance(value, str) else value


def _value(found: re.Match[str], given: Mapping[str, str]) -> str:
    value = given.get(found["name"], "")
    if found["kind"] == "?" and not value:
        raise KeyError(f"{found['name']}: {found['rest']}")
    return value or (found["rest"] if found["kind"] == "-" else "")


def seconds(text: str) -> float:
    """Return a duration such as ``1m30s``.

    Raises:
        ValueError: it is not one.
    """
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration")
    return sum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"([\d.]+)(ms|[hms])", text))


# what is wrong


def faults(document: Mapping[str, Any], named: set[str]) -> list[str]:
    """Return what is wrong with a file, before its variables are replaced; each names the place.

    Args:
        named: variables that .env.example names.
    """
    services = document.get("services", {})
    found = [*_unknown("", {key: value for key, value in document.items() if not key.startswith("x-")}, _TOP)]
    for name, service in services.items():
        found += _unknown(f"services.{name}", service, _SERVICE)
        found += _dependencies(name, service, services)
        found += _used(name, service, document)
    found += _unused(document)
    found += _variables("", document, named)
    return found


def _unknown(place: str, given: Any, schema: Mapping[str, Check | Mapping[str, Any]]) -> Iterator[str]:
    """Yield the keys that the schema does not have, and the values that it does not allow."""
    if not isinstance(given, dict):
        yield f"{place}: {given!r} is not a mapping"
        return
    for key, value in given.items():
        here = f"{place}.{key}".removeprefix(".")
        rule = schema.get(key)
        if rule is None:
            yield f"{here}: there is no such key"
        elif isinstance(rule, Mapping):
            yield from _unknown(here, value, rule)
        elif not rule(value):
            yield f"{here}: cannot be {value!r}"


def _dependencies(name: str, service: Mapping[str, Any], services: Mapping[str, Any]) -> Iterator[str]:
    for other, how in service.get("depends_on", {}).items():
        place = f"services.{name}.depends_on.{other}"
        if other not in services:
            yield f"{place}: there is no such service"
            continue
        if how.get("condition") == "service_healthy" and "healthcheck" not in services[other]:
            yield f"{place}: it has no health check"
        if not set(services[other].get("profiles", ())) <= set(service.get("profiles", ())):
            yield f"{place}: it is in a profile that this service is not in"


def _used(name: str, service: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a service uses and the file does not declare."""
    volumes, configs = _uses(service)
    for kind, wanted in (("volumes", volumes), ("configs", configs)):
        for one in sorted(wanted - set(document.get(kind, {}))):
            yield f"services.{name}.{kind}: {one} is not declared"
    if not {"image", "build"} & set(service):
        yield f"services.{name}: has neither image nor build"


def _unused(document: Mapping[str, Any]) -> Iterator[str]:
    used = [_uses(service) for service in document.get("services", {}).values()]
    for index, kind in enumerate(("volumes", "configs")):
        for one in sorted(set(document.get(kind, {})) - {name for uses in used for name in uses[index]}):
            yield f"{kind}.{one}: nobody uses it"


def _uses(service: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    volumes = {volume.partition(":")[0] for volume in service.get("volumes", ())}
    return {volume for volume in volumes if not volume.startswith((".", "/"))}, {
        config["source"] for config in service.get("configs", ())
    }


def _variables(place: str, value: Any, named: set[str]) -> Iterator[str]:
    """Yield variables that nobody is told of, and dollars that are none."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _variables(f"{place}.{key}".removeprefix("."), item, named)
    elif isinstance(value, str):
        for found in _VARIABLE.finditer(value):
            if found["kind"] != "-" and found["name"] not in named:
                yield f"{place}: {found['name']} has no default and is not in .env.example"
        if "$" in _VARIABLE.sub("", value).replace("$$", ""):
            yield f"{place}: a dollar that Compose cannot read; it is written $$"


# what is allowed


def _matches(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _one_of(*allowed: object) -> Check:
    # By type as well: `restart: no` is false, and false is not "no".
    return lambda value: any(value == one and type(value) is type(one) for one in allowed)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and bool(value) and all(map(check, value))


def _map_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(isinstance(key, str) and check(item) for key, item in value.items())


def _shape(schema: Mapping[str, Check | Mapping[str, Any]], required: set[str]) -> Check:
    return lambda value: isinstance(value, dict) and required <= set(value) and not list(_unknown("", value, schema))


def _count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _duration(value: Any) -> bool:
    try:
        return seconds(value) > 0
    except ValueError:
        return False


def _environment(value: Any) -> bool:
    return isinstance(value, dict) and all(
        re.fullmatch(r"[A-Z_][A-Z0-9_]*", key) and (item is None or isinstance(item, str)) for key, item in value.items()
    )


def _health_test(value: Any) -> bool:
    if not _list_of(_WORD)(value) or len(value) < 2:
        return False
    return value[0] == "CMD" or (value[0] == "CMD-SHELL" and len(value) == 2)


_WORD = _matches(r"(?s).+")
_NAME = _matches(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_FOLDER = _matches(r"/[\w./-]+")
_SERVICE: dict[str, Check | Mapping[str, Any]] = {
    "image": _matches(r"[a-z0-9./-]+:[\w.-]+"),
    "build": _one_of("."),
    "init": _one_of(True, False),
    "restart": _one_of("no", "always", "on-failure", "unless-stopped"),
    "read_only": _one_of(True, False),
    "tmpfs": _list_of(_FOLDER),
    "cap_drop": _list_of(_matches(r"[A-Z_]+")),
    "security_opt": _list_of(_one_of("no-new-privileges:true")),
    "logging": {"driver": _one_of("json-file", "local", "journald"), "options": _map_of(_WORD)},
    # Words, and no numbers: Compose takes no other.
    "command": _list_of(_WORD),
    "configs": _list_of(_shape({"source": _NAME, "target": _FOLDER}, {"source", "target"})),
    "environment": _environment,
    "volumes": _list_of(_matches(r"[\w./-]+:/[\w./-]+(:ro)?")),
    "ports": _list_of(_matches(r"127\.0\.0\.1:(\$\{\w+:-)?\d+\}?:\d+")),
    "profiles": _list_of(_NAME),
    "deploy": {"replicas": _count},
    "depends_on": _map_of(
        _shape(
            {"condition": _one_of("service_healthy", "service_started", "service_completed_successfully")},
            {"condition"},
        )
    ),
    "healthcheck": _shape(
        {"test": _health_test, "interval": _duration, "timeout": _duration, "start_period": _duration, "retries": _count},
        {"test", "interval", "timeout", "start_period", "retries"},
    ),
    "stop_grace_period": _duration,
}
_TOP: dict[str, Check | Mapping[str, Any]] = {
    "name": _matches(r"[a-z0-9][a-z0-9_-]*"),
    "services": _map_of(lambda value: isinstance(value, dict)),
    "configs": _map_of(_shape({"content": _WORD}, {"content"})),
    "volumes": _map_of(_one_of(None)),
}
