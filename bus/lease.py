"""The lease: what a worker holds, what it shows with each write, and how it lets go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tidings.bus.messages import Message, Notice, Picture, Reason, Wait, WorkerRef
from tidings.bus.states import State, Trigger

LEASE_S = 10.0
"""Length of a lease in seconds, by default."""
ALL_READ = 2**53 - 1
"""As ``Release.read``: whatever was said does not queue the session again (the largest whole number that Lua holds exactly)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A session held by a worker.

    Attributes:
        session: its id.
        worker: who holds it.
        token: fencing token; it grows with each claim.
        lease: random part of the lease; a server that has lost its last writes can give a token twice, but not this.
        epoch: identity of the session's logs.
        version: version of the record when it was claimed.
        parks: parks in a row before this claim.
        parked_s: seconds of those parks for which no provider named an instant.
        lease_s: length of the lease in seconds.
        lease_until: server time at which the lease ends if it is never renewed.
        parent: session of which it is a child; None: of none.
        name: what its parent calls it.
        model: what its worker asks for the agent; None: not said.
        waits: calls that an earlier worker has begun and that have failed, by LLM path; the next attempt counts on from there.
    """

    session: str
    worker: WorkerRef
    token: int
    lease: str
    epoch: str
    version: int
    parks: int
    lease_s: float
    lease_until: datetime
    parent: str | None = None
    name: str | None = None
    model: str | None = None
    waits: Mapping[str, Wait] = field(default_factory=dict)
    parked_s: float = 0.0

    @property
    def shown(self) -> tuple[int, str, str]:
        """What each write shows for its right to write: the scripts compare all three with the record."""
        return self.token, self.lease, self.epoch


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker shows with a notice: the right to write, and what it is doing.

    Attributes:
        claim: its lease.
        nudge: nudges that it has seen; an older picture is not believed.
        picture: what it is doing as of this notice; None leaves what is known.
    """

    claim: Claim
    nudge: int = 0
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer to a renewal.

    Attributes:
        held: whether the session is still this worker's.
        nudge: how often it was resumed while held; more than before: end the wait now.
        state: state of a session that is no longer held; None where it is held or gone.
        why: what became of a session that is no longer held, as part of a sentence; '' where that is not known.
    """

    held: bool
    nudge: int = 0
    state: State | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """How a worker lets a session go.

    Attributes:
        trigger: YIELD, FINISH, FAIL, PARK, OUTAGE or HAND_BACK.
        read: offset up to which the worker has read the events; a user message beyond it queues the session again.
        parks: parks in a row, this one included; 0 after a success.
        parked_s: seconds of those parks for which no provider named an instant.
        resume_at: when a parked session is queued again; None: a person must. A session that is handed back in a wait is parked
            until that is over, whatever stands here.
        waits: by LLM path: of a parked session what it waits for, of one that failed the call that did, of one that is handed
            back the calls that are not over.
        reason: reason of a park or failure.
        why: one line for a person.
        notices: further notices to publish in the same step, before the new state.
        awaits: children whose results the agent waits for. A child that ends its turn so has not done what it was asked yet, and
            nothing is reported to its own parent.
        model: the model of the agent; None: that of the claim, else of the call that is parked or failed.
    """

    trigger: Trigger
    read: int
    parks: int = 0
    parked_s: float = 0.0
    resume_at: datetime | None = None
    waits: Mapping[str, Wait] = field(default_factory=dict)
    reason: Reason | None = None
    why: str = ""
    notices: tuple[Message[Notice], ...] = ()
    awaits: int = 0
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """What became of a released session."""

    state: State
    version: int
