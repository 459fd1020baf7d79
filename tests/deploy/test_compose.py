"""docker-compose.yml cannot rot: it is read as Compose reads it, and each command and health check in it is run as a process.

Only containers are missing here: their folders are below one of the test's, and names of services become addresses on loopback.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.deploy.reading import example_names, faults, interpolated, read, seconds
from tests.processes import end, environment
from tests.servers import free_port, redis_binary, valkey_binary
from tests.waiting import PATIENCE_S, eventually
from tests.workers.gateway.calling import calling
from tidings.workers.cli.flags import COMMAND, CONNECTION, LOGGING
from tidings.workers.cli.services import CONTROLLER, GATEWAY, WORKER
from tidings.workers.settings import Settings, variable_of

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "0123456789abcdef"
TOKEN = "operators-only-abcdef"
EXAMPLE, FILE = ((CHECKOUT / name).read_text() for name in (".env.example", "docker-compose.yml"))
_FLEET = ("controller", "worker")
_OURS = (*_FLEET, "gateway")


def example() -> dict[str, str]:
    """Return what .env.example sets, with a password and a token put into it."""
    pairs = (line.partition("=") for line in EXAMPLE.splitlines() if line and not line.startswith("#"))
    found = {name: value for name, _, value in pairs}
    assert found["REDIS_PASSWORD"] == found["TIDINGS_TOKEN"] == "", "the example has no secrets of its own"
    return found | {"REDIS_PASSWORD": PASSWORD, "TIDINGS_TOKEN": TOKEN}


def compose(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the file as Compose understands it."""
    return dict(interpolated(read(FILE), given))


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


def test_there_is_nothing_in_the_file_that_compose_would_not_take() -> None:
    """Every key is known, every value is of its form, what is named exists, and people are told of every variable."""
    assert faults(read(FILE), example_names(EXAMPLE)) == []


@pytest.mark.parametrize(
    ("right", "wrong", "place"),
    [
        ("interval: 5s", "interval: soon", "services.redis.healthcheck"),
        ("interval: 5s", "interval: 5", "services.redis.healthcheck"),
        ("retries: 3", "retries: three", "services.redis.healthcheck"),
        ("      retries: 3\n", "", "services.redis.healthcheck"),
        ("test: [CMD, tidings, health, worker]", "test: [tidings, health, worker]", "services.worker.healthcheck"),
        ("test: [CMD, tidings, health, worker]", "tests: [CMD, tidings, health, worker]", "services.worker.healthcheck"),
        ("stop_grace_period: 30s", "stop_grace_periodd: 30s", "services.redis.stop_grace_periodd"),
        ("deploy: {replicas: 3}", "deploy: {replica: 3}", "services.worker.deploy.replica"),
        ("deploy: {replicas: 3}", 'deploy: {replicas: "3"}', "services.worker.deploy.replicas"),
        ("  redis: {condition: service_healthy}", "  redis: {condition: healthy}", "services.worker.depends_on"),
        ("  redis: {condition: service_healthy}", "  reddis: {condition: service_healthy}", "services.worker.depends_on.reddis"),
        (
            "  redis: {condition: service_healthy}",
            "  tidings: {condition: service_healthy}",
            "services.worker.depends_on.tidings",
        ),
        (
            "  redis: {condition: service_healthy}",
            "  provider: {condition: service_healthy}",
            "services.worker.depends_on.provider",
        ),
        ("healthcheck:\n      # redis-cli", "x-healthcheck:\n      # redis-cli", "services.worker.depends_on.redis"),
        ('restart: "no"', "restart: no", "services.tidings.restart"),
        ("restart: unless-stopped", "restart: unless-stoped", "services.worker.restart"),
        ('--port, "8080"]', "--port, 8080]", "services.gateway.command"),
        ('volumes: ["redis:/data"]', 'volumes: ["data:/data"]', "services.redis.volumes"),
        ("source: redis, target", "source: conf, target", "services.redis.configs"),
        ("image: redis:7", "", "services.redis: has neither"),
        ("127.0.0.1:${TIDINGS_PORT:-8080}:8080", "${TIDINGS_PORT:-8080}:8080", "services.gateway.ports"),
        ("${REDIS_PASSWORD}", "${REDIS_PASS}", "configs.redis.content"),
        ("${TIDINGS_PORT:-8080}", "${TIDINGS_PORT}", "services.gateway.ports"),
        ("${REDIS_PASSWORD}", "$REDIS_PASSWORD", "configs.redis.content"),
        ('TIDINGS_DRAIN_TIMEOUT_S: "30"', "TIDINGS_DRAIN_TIMEOUT_S: 30", "services.worker.environment"),
        ("read_only: true", "readonly: true", "services.worker.readonly"),
        ("volumes:\n  redis:", "volume:\n  redis:", "volume: there is no such key"),
    ],
)
def test_a_mistake_in_the_file_is_found(right: str, wrong: str, place: str) -> None:
    """One thing written wrongly, and the place of it is told."""
    assert right in FILE
    told = faults(read(FILE.replace(right, wrong)), example_names(EXAMPLE))
    assert any(fault.startswith(place) for fault in told), told


def test_a_key_that_stands_twice_is_found() -> None:
    """A second `init` is not taken for the first one corrected."""
    with pytest.raises(ValueError, match="init: twice"):
        read(FILE.replace("  init: true\n", "  init: true\n  init: false\n"))


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
    assert seconds(worker["stop_grace_period"]) > float(environment_of(worker, {})["TIDINGS_DRAIN_TIMEOUT_S"])


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
    assert not re.search(r"\b(apt-get|gcc|hatchling)\b", final)


def test_the_image_has_no_pip_to_install_with() -> None:
    """That of Python brings one: it goes, with the wheels that would bring it back, before the image is anybody's."""
    final = (CHECKOUT / "Dockerfile").read_text().split("\nFROM ")[-1]
    packages = "/usr/local/lib/python3.12"
    removed = re.search(r"^RUN rm -rf (.*) \\\n +&& python -c .*find_spec, \('pip', 'ensurepip'\)", final, re.MULTILINE)
    assert removed, "the build ends where one of them is still found"
    assert set(removed[1].split()) == {f"{packages}/ensurepip", f"{packages}/site-packages/pip*", "/usr/local/bin/pip*"}
    assert final.startswith("python:3.12-slim\n"), "that is where these folders are"


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
    """The services of the file as processes of this machine.

    Args:
        folder: an empty one, in which the folders of the containers are.
        given: what .env says.
    """

    def __init__(self, folder: Path, given: dict[str, str]) -> None:
        self.folder = folder
        self._given, self._file = given, compose(given)
        self._started: list[Process] = []
        self.redis, self.provider, self.page = free_port(), free_port(), free_port()
        self._places = {
            "@redis:6379": f"@127.0.0.1:{self.redis}",
            "http://provider:8765": f"http://127.0.0.1:{self.provider}",
            "0.0.0.0": "127.0.0.1",
            "8765": str(self.provider),
            "8080": str(self.page),
            "/etc/tidings": f"{folder}/etc",
            "/data": f"{folder}/data",
        }
        for name in ("bin", "etc", "data"):
            (folder / name).mkdir()
        self._programs()
        self._configs()

    def _programs(self) -> None:
        """Put what the images hold where the commands find it; what a network of one's own would do is said by arguments."""
        port = f"--port {self.redis}"
        server, cli = redis_binary() or valkey_binary(), shutil.which("redis-cli")
        programs = {
            "redis-server": f'{server} "$@" {port} --bind 127.0.0.1',
            "python": f'{sys.executable} "$@"',
            "tidings": f'{sys.executable} -m tidings "$@"',
        }
        if cli:
            programs["redis-cli"] = f'{cli} -p {self.redis} "$@"'
        for name, line in programs.items():
            program = self.folder / "bin" / name
            program.write_text(f"#!/bin/sh\nexec {line}\n")
            program.chmod(0o755)

    def _configs(self) -> None:
        """Write the files that Compose puts into containers."""
        for service in self._file["services"].values():
            for config in service.get("configs", ()):
                content = self._file["configs"][config["source"]]["content"]
                Path(self._here(config["target"])).write_text(self._here(content))

    def _here(self, text: str) -> str:
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    async def _begin(
        self, name: str, words: list[str], changes: Mapping[str, str], output: int, source: int = DEVNULL
    ) -> Process:
        found = environment_of(self._file["services"][name], self._given)
        variables = {key: self._here(value) for key, value in found.items()}
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        process = await asyncio.create_subprocess_exec(
            shutil.which(words[0], path=path) or words[0],
            *map(self._here, words[1:]),
            env=environment({**variables, "PATH": path, **changes}),
            stdin=source,
            stdout=output,
            stderr=output,
        )
        self._started.append(process)
        return process

    async def start(self, name: str) -> Process:
        """Start one container's worth of a service, by its command."""
        service = self._file["services"][name]
        ours = ["tidings"] if "build" in service else []
        return await self._begin(name, [*ours, *service["command"]], {}, DEVNULL)

    async def healthy(self, name: str, **changes: str) -> bool:
        """Run the health check of a service as Docker does.

        Args:
            changes: variables that differ in this container.
        """
        check = self._file["services"][name]["healthcheck"]
        kind, *words = check["test"]
        process = await self._begin(name, ["sh", "-c", *words] if kind == "CMD-SHELL" else words, changes, DEVNULL)
        async with asyncio.timeout(PATIENCE_S):
            return await process.wait() == 0

    async def answers(self) -> bool:
        """Say whether Redis answers with the password, without its health check."""
        async with Redis.from_url(f"redis://:{PASSWORD}@127.0.0.1:{self.redis}") as client:
            try:
                return bool(await client.ping())
            except RedisError:
                return False

    async def tidings(self, *arguments: str, given: str = "") -> str:
        """Do what `docker compose run --rm -T tidings ARGUMENTS` does with what is given to it; returns what it prints."""
        process = await self._begin("tidings", ["tidings", *arguments], {}, PIPE, PIPE)
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate(given.encode())
        assert process.returncode == 0, out + err
        return out.decode()

    async def close(self) -> None:
        """End everything, Redis last."""
        for process in reversed(self._started):
            await end(process)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """The services of the file, with the environment of the example; none is started."""
    found = Stage(tmp_path, example())
    yield found
    await found.close()


@pytest.mark.process
@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="there is no redis-cli here (Debian: apt install redis-tools)")
async def test_the_health_check_of_redis_asks_redis(stage: Stage) -> None:
    """It is bad while nothing listens and with a wrong password, and good when the server answers."""
    assert not await stage.healthy("redis")
    await stage.start("redis")
    await eventually(stage.answers, message="redis answers")
    assert await stage.healthy("redis")
    assert not await stage.healthy("redis", REDISCLI_AUTH="wrong")


@pytest.mark.full
@pytest.mark.process
@pytest.mark.timeout(150)
async def test_every_service_starts_from_the_file_and_a_session_goes_through(stage: Stage) -> None:
    """Everything with the environment of the file: health checks turn good, a session is answered and seen over HTTP."""
    await stage.start("redis")
    await eventually(stage.answers, message="redis answers")
    assert (stage.folder / "data" / "appendonlydir").is_dir()
    assert not await stage.healthy("worker")
    assert not await stage.healthy("provider")
    for name in ("provider", "controller", "worker", "gateway"):
        await stage.start(name)
    for name in ("provider", *_OURS):
        await eventually(partial(stage.healthy, name), message=f"{name} is healthy")
    await stage.tidings("start", "sea", "--message", "Why is the sea salt?")
    await stage.tidings("wait", "sea", "--timeout", "40")
    history = [json.loads(line) for line in (await stage.tidings("history", "sea", "--json")).splitlines()]
    assert [event["type"] for event in history] == ["user.message", "agent.message"]
    async with calling(f"http://127.0.0.1:{stage.page}", TOKEN) as caller:
        assert (await caller.json("/api/sessions/sea/history"))["events"] == history
        assert (await caller.json("/readyz"))["ready"] is True
    exported = await stage.tidings("export", "sea")
    assert (await stage.tidings("import", "-", "--as", "sea-2", given=exported)).startswith("sea-2: imported with 2 events")
    findings = [json.loads(line) for line in (await stage.tidings("doctor", "--json")).splitlines()]
    assert {finding["level"] for finding in findings} == {"ok"}
