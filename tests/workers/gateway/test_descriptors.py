"""How many connections the descriptors of a process allow."""

from __future__ import annotations

import resource

import pytest

from tidings.workers.gateway import GatewayOptions
from tidings.workers.gateway.descriptors import accepted_at_once, connection_limit


@pytest.mark.parametrize(
    ("soft", "limit"), [(64, 48), (256, 192), (1024, 768), (1 << 20, 12_000), (resource.RLIM_INFINITY, 12_000)]
)
def test_the_limit_is_below_that_of_descriptors(monkeypatch: pytest.MonkeyPatch, soft: int, limit: int) -> None:
    """Three quarters of them, with room for those that are accepted before they can be refused."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert connection_limit() == limit
    assert soft < 0 or connection_limit() + 4 * accepted_at_once() <= soft
    options = GatewayOptions("a-token-0123456789")
    assert options.most_connections == limit
    assert options.most_streams == min(10_000, limit * 3 // 4)
