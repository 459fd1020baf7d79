"""`make screenshots` from its stage to its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import make_screenshots as program
from tests.page.house import OpenHouse


@pytest.mark.full
async def test_the_pictures_can_be_taken(open_house: OpenHouse, tmp_path: Path) -> None:
    """The staged fleet comes into the states that are shown, and each picture becomes a file."""
    house = await open_house(**program.FLEET)
    await program.Stage(house).set_up()
    taken = await program.take(house, tmp_path)
    assert [path.stem for path in taken] == [shot.name for shot in (*program.SHOTS, *program.TERMINAL)]
    assert all(path.stat().st_size > 10_000 for path in taken)
