"""From a claim to the model: a session granted to a worker, its first request arrived at the provider.

`first_request.py` says what it is compared with, and why. This is the second half of that way: there the clock starts with
the command, here when the worker has its claim, or the loop what it popped. In between ours keeps the lease, reads the history,
tells that the run began, and calls litellm; by hand it is the call alone. Of many at a time the clock starts with the first
claim, so the claims of the others are within.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from bench.case import SMALL, TASKS, Case, Load
from bench.first_request import prepared
from bench.turns import Run

OURS, POSTED, THROUGH_LITELLM = "Bus.claim", "BLPOP, aiohttp", "BLPOP, litellm"


@asynccontextmanager
async def contestants(url: str, load: Load) -> AsyncIterator[Mapping[str, Run]]:
    """Prepare all three, timed from the first claim on."""
    async with prepared(url, load, from_claim=True) as (ours, posted, through_litellm):
        yield {OURS: ours, POSTED: posted, THROUGH_LITELLM: through_litellm}


CASE = Case(
    "claim-to-first-request",
    "from the claim of a session to its first request at the provider",
    contestants,
    pairs=((OURS, POSTED), (OURS, THROUGH_LITELLM)),
    loads=(Load(10, size=SMALL), Load(TASKS, TASKS, SMALL)),
    in_ms=True,
)
