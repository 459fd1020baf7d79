"""The plugin as users of Tidings meet it, in a run of pytest of their own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S
from tidings.workers import testing
from tidings.workers.testing import fixtures

CHECKOUT = Path(__file__).resolve().parents[3]
LOADED = (
    "--disable-plugin-autoload",
    "-p",
    "asyncio",
    "-p",
    "timeout",
    "-p",
    "tidings.workers.testing.plugin",
    f"--timeout={PATIENCE_S:g}",
)
"""Also where Tidings was installed before it had a plugin, and where it is installed as it is now."""
INI = """
[pytest]
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
CHAT = """
import pytest
from tidings.bus import State

@pytest.mark.asyncio
async def test_chat(tidings_fleet, tidings_provider, tidings_bus, tidings_clock):
    fleet = await tidings_fleet()
    await fleet.start("s", "hello")
    await fleet.until("s", State.AWAITING_INPUT)
    assert fleet.bus is tidings_bus
    assert fleet.provider is tidings_provider
    assert fleet.clock is tidings_clock
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixtures_work_in_both_modes_of_pytest_asyncio(pytester: pytest.Pytester, mode: str) -> None:
    """With warnings as errors, and nothing of ours left open at the end of the test."""
    pytester.makeini(INI.format(mode=mode))
    pytester.makepyfile(CHAT)
    pytester.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_a_provider_of_ones_own_is_a_fixture(pytester: pytest.Pytester) -> None:
    """Its settings are replaced where they are needed, in a module or a conftest."""
    pytester.makeini(INI.format(mode="auto"))
    pytester.makeconftest(
        """
        import pytest
        from tidings.workers.provider import ProviderSettings

        @pytest.fixture
        def tidings_provider_settings():
            return ProviderSettings(answer="Good morning.")
        """
    )
    pytester.makepyfile(
        """
        async def test_answer(tidings_fleet):
            fleet = await tidings_fleet(attempts=1)
            await fleet.start("s", "hello")
            await fleet.idle()
            assert (await fleet.history("s"))[-1].data.text == "Good morning."
            assert fleet.settings.attempts == 1
        """
    )
    pytester.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_a_bus_of_ones_own_has_its_own_time(pytester: pytest.Pytester) -> None:
    """Where a test brings another bus, the fleet does not pretend to move its time."""
    pytester.makeini(INI.format(mode="auto"))
    pytester.makepyfile(
        """
        import pytest
        from tidings.bus import Bus

        @pytest.fixture
        async def tidings_bus():
            async with Bus.connect("memory://") as bus:
                yield bus

        async def test_time(tidings_fleet):
            fleet = await tidings_fleet()
            assert fleet.clock is None
            with pytest.raises(RuntimeError, match="cannot be moved"):
                await fleet.advance(1)
        """
    )
    pytester.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_a_test_has_one_fleet(pytester: pytest.Pytester) -> None:
    """Workers of a second one would take the sessions of the first."""
    pytester.makeini(INI.format(mode="auto"))
    pytester.makepyfile(
        """
        async def test_two(tidings_fleet):
            await tidings_fleet()
            await tidings_fleet()
        """
    )
    result = pytester.runpytest_inprocess(*LOADED)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RuntimeError: a test has one fleet: *"])


def test_a_failure_shows_the_sessions_and_not_our_code(pytester: pytest.Pytester) -> None:
    """The report ends at the line of the test; the lines of the waits behind it are hidden."""
    pytester.makeini(INI.format(mode="auto"))
    pytester.makepyfile(
        """
        from tidings.bus import State
        from tidings.workers.provider import Fault

        async def test_wait(tidings_fleet, tidings_provider):
            tidings_provider.script(Fault.parse("429:retry-after=30"))
            fleet = await tidings_fleet()
            await fleet.start("s", "hello")
            await fleet.until("s", State.RATE_LIMITED)
            await fleet.until("s", State.AWAITING_INPUT, timeout_s=0.05)
        """
    )
    result = pytester.runpytest_inprocess(*LOADED)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*await fleet.until(*",
            "E*NotInTime: not within 0.05 s: session 's' is awaiting_input",
            "E*  s: rate_limited for *: openai/test: rate limit, attempt 1 of 6 failed",
            "E*    attempt 1 of 6 failed: rate_limit: Rate limit reached.; goes on when the clock has moved 31.000 s",
            "E*    held by w1",
            "E*    came by queued > running > rate_limited",
            "E*  the provider received 1 request (429)",
        ]
    )
    assert "waiter.py" not in result.stdout.str()


@pytest.mark.parametrize(
    "fixture", ["tidings_clock", "tidings_bus", "tidings_provider_settings", "tidings_provider", "tidings_fleet"]
)
def test_without_pytest_asyncio_a_fixture_says_what_is_missing(pytester: pytest.Pytester, fixture: str) -> None:
    """It is there, and fails the test that asks for it in one readable line."""
    pytester.makepyfile(f"def test_it({fixture}): pass")
    result = pytester.runpytest_inprocess(*LOADED, "-p", "no:asyncio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"{fixture} needs pytest-asyncio: pip install 'tidings[[]testing[]]'*"])


@pytest.mark.process
def test_it_costs_nothing_when_it_is_not_used(pytester: pytest.Pytester) -> None:
    """A run that asks for none of its fixtures imports neither the bus nor what it stands on, and keeps its environment."""
    pytester.makeini(INI.format(mode="auto"))
    pytester.makepyfile(
        """
        import os, sys

        BEFORE = dict(os.environ)
        HEAVY = {"aiohttp", "fakeredis", "httpx", "litellm", "openai", "pydantic", "redis", "tenacity"}

        def test_nothing_is_imported(request):
            assert request.config.pluginmanager.hasplugin("tidings.workers.testing.plugin")
            assert not HEAVY & set(sys.modules)
            ours = {name for name in sys.modules if name.split(".")[0] == "tidings"}
            kit = "tidings.workers.testing"
            assert ours == {"tidings", "tidings.workers", kit, f"{kit}.plugin", f"{kit}.fixtures"}

        async def test_nothing_is_changed():
            current = {name for name in os.environ if name != "PYTEST_CURRENT_TEST"}
            assert current == {name for name in BEFORE if name != "PYTEST_CURRENT_TEST"}
        """
    )
    pytester.runpytest_subprocess(*LOADED).assert_outcomes(passed=2)


def test_pytest_finds_it_by_its_entry_point() -> None:
    """Whoever installs Tidings has the plugin, under a name by which it can be switched off."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"tidings": "tidings.workers.testing.plugin"}
    assert {"fakeredis[lua]", "pytest", "pytest-asyncio", "tidings[worker]"} == {
        requirement.partition(">")[0] for requirement in project["optional-dependencies"]["testing"]
    }


def test_a_name_that_is_not_there_is_missing() -> None:
    """What the package offers is looked up when it is needed; a misspelling is an error like any other."""
    with pytest.raises(AttributeError, match="has no attribute 'Flet'"):
        testing.Flet  # noqa: B018


@pytest.mark.parametrize(
    ("proxies", "before", "after"),
    [
        ({}, None, None),
        ({}, "example.org", "example.org"),
        ({"HTTP_PROXY": "http://proxy:3128"}, None, "127.0.0.1,localhost"),
        ({"https_proxy": "http://proxy:3128"}, "example.org", "example.org,127.0.0.1,localhost"),
    ],
)
def test_requests_to_the_provider_go_past_a_proxy(proxies: dict[str, str], before: str | None, after: str | None) -> None:
    """Where the environment names one, and only for the time of the test."""
    with pytest.MonkeyPatch.context() as outer:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            outer.delenv(name, raising=False)
        for name in ("no_proxy", "NO_PROXY"):
            outer.delenv(name, raising=False)
            if before is not None:
                outer.setenv(name, before)
        for name, value in proxies.items():
            outer.setenv(name, value)
        with pytest.MonkeyPatch.context() as inner:
            fixtures._keep_off_proxies(inner)
            assert _no_proxy() == [after, after]
        assert _no_proxy() == [before, before]


def _no_proxy() -> list[str | None]:
    import os

    return [os.environ.get(name) for name in ("no_proxy", "NO_PROXY")]
