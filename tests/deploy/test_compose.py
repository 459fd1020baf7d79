"""docker-compose.yml cannot rot: it is read as Compose reads it, and each service's command is started from it as a process.

Only containers are missing here: Redis is one of the tests' own with the file's configuration, and names of services become
addresses on loopback.
"""

from __future__ import annotations

import json
import re
import shlex
from asyncio.subprocess import Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import MakeServer, SpawnTidings
from tests.processes import run_tidings
from tests.servers import RunningServer, free_port
from tests.waiting import eventually
from tests.workers.gateway.calling import calling
from workers.cli.options import COMMAND, CONNECTION, LOGGING
from workers.cli.services import CONTROLLER, GATEWAY, WORKER
from workers.settings import Settings, variable_of

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "0123456789abcdef"
TOKEN = "operators-only-abcdef"
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")
_FLEET = ("controller", "worker")
_OURS = (*_FLEET, "gateway")


def example() -> dict[str, str]:
    """Return what .env.example sets, with a password and a token put into it."""
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    found = {name: value for name, _, value in pairs}
    assert found["REDIS_PASSWORD"] == found["TIDINGS_TOKEN"] == "", "the example has no secrets of its own"
    return found | {"REDIS_PASSWORD": PASSWORD, "TIDINGS_TOKEN": TOKEN}


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


def compose(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the file as Compose understands it."""
    return dict(interpolated(yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text()), given))


def environment_of(service: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a service; those without a value are passed on where they are set."""
    listed: Mapping[str, str | None] = service.get("environment", {})
    found = {name: given.get(name) if value is None else value for name, value in listed.items()}
    return {name: value for name, value in found.items() if value is not None}


@pytest.fixture
def services() -> dict[str, Any]:
    """The services of the file."""
    found: dict[str, Any] = compose(example())["services"]
    return found


# the file


def test_the_services_are_those_of_a_team(services: dict[str, Any]) -> None:
    """Redis, two controllers, three workers, a gateway; a provider for the demo and the command line only when asked for."""
    assert set(services) == {"redis", "controller", "worker", "gateway", "provider", "tidings"}
    assert {name: services[name]["deploy"]["replicas"] for name in _FLEET} == {"controller": 2, "worker": 3}
    assert {name: service.get("profiles") for name, service in services.items() if "profiles" in service} == {
        "provider": ["demo"],
        "tidings": ["cli"],
    }


def test_only_the_gateway_is_published_and_only_to_the_host_itself(services: dict[str, Any]) -> None:
    """No network of the host, and one port, on loopback."""
    assert not [name for name, service in services.items() if "network_mode" in service]
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "gateway": ["127.0.0.1:8080:8080"]
    }


@pytest.mark.parametrize("missing", ["REDIS_PASSWORD", "TIDINGS_MODEL", "TIDINGS_TOKEN"])
def test_what_must_be_said_is_asked_for(missing: str) -> None:
    """Without a password, a model or a token Compose does not start, and says where to put it."""
    with pytest.raises(KeyError, match=r"\.env"):
        compose(example() | {missing: ""})


def test_the_redis_forgets_nothing_and_asks_for_a_password() -> None:
    """Every write is on the disk before it is acknowledged, nothing is evicted, the data is on a volume."""
    found = compose(example())
    redis = found["services"]["redis"]
    assert set(found["configs"]["redis"]["content"].splitlines()) == {
        "dir /data",
        "appendonly yes",
        "appendfsync always",
        "maxmemory-policy noeviction",
        f"requirepass {PASSWORD}",
    }
    assert redis["command"] == ["redis-server", redis["configs"][0]["target"]]
    assert redis["volumes"] == ["redis:/data"]
    assert "redis" in found["volumes"]
    assert PASSWORD not in shlex.join(redis["command"]) + str(redis["healthcheck"])


def test_what_runs_for_long_is_watched_and_restarted(services: dict[str, Any]) -> None:
    """Health checks, restarts, a start after Redis is healthy, and time to finish."""
    for name in ("redis", "provider", *_OURS):
        assert services[name]["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(services[name]["healthcheck"])
    for name in (*_OURS, "tidings"):
        assert services[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}
    worker = services["worker"]
    assert int(worker["stop_grace_period"].removesuffix("s")) > float(environment_of(worker, {})["TIDINGS_GRACE_S"])


def test_every_setting_can_be_given(services: dict[str, Any]) -> None:
    """Each service passes on the settings that its command has, and no other; what is named exists."""
    # Where it listens is said by its command: in a container that is not what a person wants to choose.
    gateway = set(GATEWAY) - {"host", "port"}
    wanted = {"controller": CONTROLLER, "worker": WORKER, "gateway": gateway, "tidings": COMMAND}
    for name, settings in wanted.items():
        listed = {variable for variable in services[name]["environment"] if variable.startswith("TIDINGS_")}
        assert listed == {variable_of(setting) for setting in {*settings, *CONNECTION, *LOGGING}}
    known = {variable_of(setting) for setting in Settings.model_fields}
    assert {name for name in example() if name.startswith("TIDINGS_")} <= known


def test_keys_of_providers_reach_workers_by_name_and_nobody_else(services: dict[str, Any]) -> None:
    """The file holds no key, and controllers do not get any."""
    for name, service in services.items():
        keys = {key: value for key, value in service.get("environment", {}).items() if key.endswith("_API_KEY")}
        assert bool(keys) is (name == "worker")
        assert set(keys.values()) <= {None}


def test_containers_have_no_more_rights_than_they_need(services: dict[str, Any]) -> None:
    """Read-only, without capabilities, and not as root."""
    for name in (*_OURS, "provider", "tidings"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["init"] is True
    final = (CHECKOUT / "Dockerfile").read_text().split("\nFROM ")[-1]
    assert re.search(r"^USER (?!0\b|root\b)\d+", final, re.MULTILINE)
    assert 'ENTRYPOINT ["tidings"]' in final
    assert "STOPSIGNAL SIGTERM" in final
    assert not re.search(r"\b(pip|apt-get|gcc|hatchling)\b", final)


def test_the_image_is_made_of_what_the_context_holds() -> None:
    """Whatever the Dockerfile copies is let through by .dockerignore, and secrets are not."""
    copied = [
        word
        for line in (CHECKOUT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    ignore = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} <= set(ignore)
    assert "*" in ignore
    assert all((CHECKOUT / name).exists() for name in copied)


# the commands


class Stage:
    """The services of the file as processes of this machine."""

    def __init__(self, spawn: SpawnTidings, server: RunningServer, given: dict[str, str]) -> None:
        self._spawn, self._given = spawn, given
        self._services = compose(given)["services"]
        self._port, self.page = free_port(), free_port()
        self._places = {
            "@redis:6379": f"@127.0.0.1:{server.port}",
            "http://provider:8765": f"http://127.0.0.1:{self._port}",
            "0.0.0.0": "127.0.0.1",
            "8765": str(self._port),
            "8080": str(self.page),
        }

    def _here(self, text: str) -> str:
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables of a service, with addresses of this machine."""
        found = environment_of(self._services[name], self._given)
        return {key: self._here(value) for key, value in found.items()}

    async def start(self, name: str) -> Process:
        """Start one container's worth of a service."""
        return await self._spawn(*map(self._here, self._services[name]["command"]), env=self.environment(name))

    async def healthy(self, name: str) -> bool:
        """Run the health check of a service that is Tidings' own."""
        kind, program, *arguments = self._services[name]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "tidings")
        return (await run_tidings(*arguments, env=self.environment(name))).code == 0

    async def tidings(self, *arguments: str) -> str:
        """Do what `docker compose run --rm tidings ARGUMENTS` does; returns what it prints."""
        done = await run_tidings(*arguments, env=self.environment("tidings"), timeout_s=50)
        assert done.code == 0, done.stdout + done.stderr
        return done.stdout


@pytest.mark.process
@pytest.mark.timeout(150)
async def test_every_service_starts_from_the_file_and_a_session_goes_through(
    make_server: MakeServer, spawn_tidings: SpawnTidings
) -> None:
    """Everything with the environment of the file: health checks turn good, a session is answered and seen over HTTP."""
    given = example()
    # Its folder is the one thing that only a container has.
    config = [line for line in compose(given)["configs"]["redis"]["content"].splitlines() if not line.startswith("dir ")]
    server = make_server(password=PASSWORD, extra=config)
    stage = Stage(spawn_tidings, server, given)
    assert not await stage.healthy("worker")
    for name in ("provider", "controller", "worker", "gateway"):
        await stage.start(name)

    async def all_healthy() -> bool:
        return all([await stage.healthy(name) for name in _OURS])

    await eventually(all_healthy, 40, "controller, worker and gateway are healthy")
    await stage.tidings("start", "sea", "--message", "Why is the sea salt?")
    await stage.tidings("wait", "sea", "--timeout", "40")
    history = [json.loads(line) for line in (await stage.tidings("history", "sea", "--json")).splitlines()]
    assert [event["type"] for event in history] == ["user.message", "agent.message"]
    async with calling(f"http://127.0.0.1:{stage.page}", TOKEN) as caller:
        assert (await caller.json("/api/sessions/sea/history"))["events"] == history
        assert (await caller.json("/readyz"))["ready"] is True
    findings = [json.loads(line) for line in (await stage.tidings("doctor", "--json")).splitlines()]
    assert {finding["level"] for finding in findings} == {"ok"}
