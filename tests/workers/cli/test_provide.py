"""Running a provider from the command line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import urllib.request
from typing import Any

import pytest

from tests.conftest import SpawnTidings
from tests.waiting import PATIENCE_S
from tests.workers.cli.conftest import Tidings
from tidings.workers.cli import main
from tidings.workers.cli import provide as module
from tidings.workers.cli.exits import BadUsage
from tidings.workers.cli.provide import provide, provider_settings
from tidings.workers.provider import Limit, ProviderSettings

FLAGS = """
--host 127.0.0.1 --port 0 --key planted-key-1 --key planted-key-2 --model gpt --model other
--rpm 5 --tpm 100 --limit-kind bucket --window 10 --burst 2 --refused-count
--retry-after ms --no-ratelimit-headers --fail 500x2 --fail timeout:seconds=1
--latency 0.1 --chunk-latency 0.2 --answer fixed --request-log 7 --request-log-bytes 8 --body-bytes 9
"""


async def test_every_setting_of_a_provider_is_a_flag(tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each flag arrives in its field, and no field is left at its default."""
    seen: list[ProviderSettings] = []

    async def look(settings: ProviderSettings, *, as_json: bool) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr(module, "provide", look)
    done = await tidings("provider", *FLAGS.split())
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    (settings,) = seen
    default, limit = ProviderSettings(), Limit()
    same = {name for name in ProviderSettings.model_fields if getattr(settings, name) == getattr(default, name)}
    assert same == {"host", "port", "limit"} - {"limit"}
    assert settings.keys is not None
    assert set(settings.keys) == {"planted-key-1", "planted-key-2"}
    (each,) = set(map(repr, settings.keys.values()))
    assert each == repr(settings.limit)
    unset = {name for name in Limit.model_fields if getattr(settings.limit, name) == getattr(limit, name)}
    assert unset == {"kind"}
    assert [fault.kind for fault in settings.script] == ["status", "timeout"]


def test_without_flags_it_is_the_default() -> None:
    """Any key, no limit, no failures."""
    assert provider_settings({"host": None}, {"burst": None}, frozenset(), ()) == ProviderSettings()


@pytest.mark.parametrize(
    ("given", "limit", "faults", "flag"),
    [
        ({"latency_s": -1}, {}, (), "--latency: "),
        ({"retry_after": "soon"}, {}, (), "--retry-after: "),
        ({}, {"requests_per_minute": 0}, (), "--rpm: "),
        ({}, {"kind": "heap"}, (), "--limit-kind: "),
        ({}, {"burst": 2}, (), "burst is the capacity"),
        ({}, {}, ("nonsense",), "--fail: "),
    ],
)
def test_a_bad_value_is_named_by_its_flag(
    given: dict[str, Any], limit: dict[str, Any], faults: tuple[str, ...], flag: str
) -> None:
    """In one line, without the value."""
    with pytest.raises(BadUsage, match=flag) as caught:
        provider_settings(given, limit, frozenset({"planted-key"}), faults)
    assert caught.value.code == 2
    assert "\n" not in str(caught.value)
    assert "planted" not in str(caught.value)


async def test_keys_can_come_from_the_environment(tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where other users of the machine do not see them."""
    seen: list[ProviderSettings] = []

    async def look(settings: ProviderSettings, *, as_json: bool) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr(module, "provide", look)
    monkeypatch.setenv("TIDINGS_PROVIDER_KEYS", "planted-key-1 planted-key-2")
    assert (await tidings("provider")).code == 0
    assert set(seen[0].keys or ()) == {"planted-key-1", "planted-key-2"}
    text = (await tidings("provider", "--help")).stdout
    assert "planted" not in text


def test_an_address_in_use_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    """It says which one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["provider", "--port", str(port)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"cannot listen on 127.0.0.1:{port}" in captured.err


@pytest.mark.parametrize("as_json", [True, False])
async def test_it_prints_its_address_and_ends_on_a_signal(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The address first, as it is for --api-base; then it serves until told to end."""
    task = asyncio.create_task(provide(ProviderSettings(), as_json=as_json))
    line = ""
    while not line:
        await asyncio.sleep(0.005)
        line = capsys.readouterr().out
    url = json.loads(line)["base_url"] if as_json else line.strip()
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/v1")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await task == 0


@pytest.mark.process
async def test_the_process_serves_and_shows_no_key(spawn_tidings: SpawnTidings) -> None:
    """It ends with 0 on SIGINT, and never prints a key that it knows."""
    process = await spawn_tidings("provider", "--key", "planted-key-1", "--log-level", "debug")
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()

    def ask() -> str:
        request = urllib.request.Request(f"{url}/models", headers={"Authorization": "Bearer planted-key-1"})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    assert "data" in await asyncio.to_thread(ask)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"planted" not in out + err
