"""Flags that are made from the settings."""

from __future__ import annotations

import inspect
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner, Result

from tidings.workers.cli.flags import LOGGING, setting_option, settings_options, shown_default
from tidings.workers.settings import Settings, flag_of, variable_of

Run = tuple[Settings, str, bool]


@pytest.fixture
def seen() -> list[Run]:
    """What the command was called with."""
    return []


@pytest.fixture
def app(seen: list[Run]) -> typer.Typer:
    """A command with an argument, a flag and some settings."""
    app = typer.Typer()

    @app.command()
    @settings_options("redis_url", "lease_s", "command_timeout_s")
    def act(settings: Settings, word: str, loud: Annotated[bool, typer.Option()] = False) -> int:
        """Do something."""
        seen.append((settings, word, loud))
        return 3

    return app


def run(app: typer.Typer, *arguments: str) -> Result:
    """Run the command with these words."""
    return CliRunner().invoke(app, arguments)


def test_the_command_gets_settings_and_returns_its_code(app: typer.Typer, seen: list[Run]) -> None:
    """Flags become settings, the rest arrives as it is, and what is returned is the exit code."""
    result = run(app, "hello", "--loud", "--lease-s", "20", "--redis", "redis://h/1", "--timeout", "1")
    assert result.exit_code == 3
    ((settings, word, loud),) = seen
    assert (word, loud, settings.lease_s, settings.command_timeout_s) == ("hello", True, 20, 1)
    assert settings.redis_url.get_secret_value() == "redis://h/1"


def test_a_flag_wins_over_its_variable(app: typer.Typer, seen: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """And a variable over the default, also one without a flag here."""
    monkeypatch.setenv("TIDINGS_LEASE_S", "40")
    monkeypatch.setenv("TIDINGS_CONCURRENCY", "7")
    run(app, "hello", "--lease-s", "20")
    run(app, "hello")
    assert [(settings.lease_s, settings.concurrency) for settings, _, _ in seen] == [(20, 7), (40, 7)]


def test_a_bad_setting_ends_with_2_and_its_name(app: typer.Typer, seen: list[Run]) -> None:
    """One line, no traceback, and the command is not run."""
    result = run(app, "hello", "--lease-s", "sk-planted-secret")
    assert result.exit_code == 2
    assert result.stderr.startswith("tidings: --lease-s (TIDINGS_LEASE_S): ")
    assert "planted" not in result.output
    assert seen == []


def test_the_help_tells_the_flag_its_variable_and_its_default(app: typer.Typer) -> None:
    """All of it comes from the field; credentials in the environment stay there."""
    text = CliRunner(env={"COLUMNS": "200", "TIDINGS_REDIS_URL": "redis://:hunter2@h"}).invoke(app, "--help")
    for name in ("redis_url", "lease_s", *LOGGING):
        assert flag_of(name).name in text.stdout
        assert variable_of(name) in text.stdout
    assert "TIDINGS_LEASE_S, default: 10]" in text.stdout
    assert "hunter2" not in text.output


def test_a_switch_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is yes or no has a flag for each."""
    parameter = setting_option("log_json")
    (option,) = parameter.annotation.__metadata__
    assert "--log-json/--no-log-json" in [option.default, *option.param_decls]
    assert parameter.default is None
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


def test_defaults_are_written_as_people_write_them() -> None:
    """Numbers without a needless fraction; nothing where there is none."""
    assert shown_default("lease_s") == "10"
    assert shown_default("controller_poll_s") == "0.5"
    assert shown_default("redis_url") == "redis://127.0.0.1:6379/0"
    assert shown_default("model") == ""
    assert shown_default("log_json") == ""
