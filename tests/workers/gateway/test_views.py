"""Processes as JSON: what the description of the API says."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidings.bus import Member, Presence, Role, State
from tidings.workers.gateway.charts import Charts
from tidings.workers.gateway.frames import LIMIT, as_json
from tidings.workers.gateway.models import FleetView
from tidings.workers.gateway.views import SESSIONS, fleet_view

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)


def test_the_fleet_is_as_described() -> None:
    """Processes by what they do; states in which nobody is are left out."""
    roll = [
        Member(Presence(role=role, name=f"{role}-1", sessions=("a",), model="m"), NOW, live=True)
        for role in (Role.WORKER, Role.CONTROLLER, Role.GATEWAY)
    ]
    fleet = fleet_view(NOW, {State.QUEUED: 2, State.ERROR: 0}, roll, Charts(NOW).view(NOW))
    view = FleetView.model_validate_json(as_json(fleet))
    assert view.by_state == {State.QUEUED: 2}
    assert [one.name for one in (*view.workers, *view.controllers, *view.gateways)] == ["worker-1", "controller-1", "gateway-1"]
    assert view.sessions == 2
    assert view.charts.retries == [None] * 14 + [0]


@pytest.mark.full
def test_however_many_processes_there_are_the_fleet_fits_into_a_frame() -> None:
    """Those that live come first, those that are left out are counted; a process names some of its sessions."""
    held = tuple(f"session-{number:04}" for number in range(1000))
    false = [
        Member(Presence(role=Role.WORKER, name=f"false-{number}" + "x" * 150, sessions=held), NOW, live=False)
        for number in range(3000)
    ]
    true = Member(Presence(role=Role.CONTROLLER, name="c1"), NOW, live=True)
    fleet = fleet_view(NOW, {}, [*false, true], Charts(NOW).view(NOW))
    view = FleetView.model_validate_json(as_json(fleet))
    assert len(as_json(fleet)) < LIMIT + 10_000
    assert [one.name for one in view.controllers] == ["c1"]
    assert view.left_out == 3000 - len(view.workers) > 0
    assert (view.workers[0].held, view.workers[0].sessions) == (1000, list(held[:SESSIONS]))
