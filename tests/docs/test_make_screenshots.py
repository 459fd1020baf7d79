"""The program that takes the pictures of page and terminal, and what is in the repository of it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from docs import make_screenshots as program

PNG = b"\x89PNG\r\n\x1a\n"


def _size(path: Path) -> tuple[int, int]:
    """Return width and height of a picture, as its first chunk says."""
    head = path.read_bytes()[:24]
    assert head.startswith(PNG)
    width, height = struct.unpack(">II", head[16:24])
    return width, height


@pytest.mark.parametrize("shot", program.SHOTS, ids=lambda shot: shot.name)
def test_the_pictures_are_there_and_small(shot: program.Shot) -> None:
    """Each one has the size of the screen that it was taken of, and is no burden to a clone."""
    path = program.FOLDER / f"{shot.name}.png"
    viewport = shot.options["viewport"]
    assert _size(path) == (viewport["width"], viewport["height"])
    assert path.stat().st_size <= program.MOST_BYTES


@pytest.mark.parametrize("shot", program.TERMINAL, ids=lambda shot: shot.name)
def test_the_pictures_of_the_terminal_are_there_and_small(shot: program.Shot) -> None:
    """As wide as a page shows them."""
    path = program.FOLDER / f"{shot.name}.png"
    assert _size(path)[0] <= 1000
    assert path.stat().st_size <= program.MOST_BYTES


def test_no_picture_is_left_over() -> None:
    """What is in the folder is what the program takes."""
    assert {path.stem for path in program.FOLDER.iterdir()} == {shot.name for shot in (*program.SHOTS, *program.TERMINAL)}
