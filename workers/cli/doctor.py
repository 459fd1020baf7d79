"""The doctor: gathers what is known of an installation, has it judged, and prints the findings."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from rich.text import Text

from tidings.bus import AccessDenied, BadAddress, Bus, Queue, Queues, Role, State, TidingsError, UnexpectedKey, Unreadable
from tidings.bus.channels import Place
from tidings.bus.errors import cause_of
from tidings.bus.listener import Wakeup
from tidings.bus.messages import DEFAULT_QUEUE, Reason
from tidings.bus.redaction import environment_secrets, one_line, redact
from tidings.bus.redis.clients import installed_version
from tidings.workers.cli.exits import BadUsage, Exit
from tidings.workers.cli.open_bus import open_bus
from tidings.workers.cli.output import print_json, screen
from tidings.workers.cli.view import View
from tidings.workers.doctor import Facts, Finding, Level, examine
from tidings.workers.settings import Settings, spelling

T = TypeVar("T")

_SIGNS = {Level.OK: ("ok", "green"), Level.NOTE: ("note", "yellow"), Level.PROBLEM: ("PROBLEM", "bold red")}
_HEARD_S = 2.0
"""How long the server has to confirm a subscription."""
_LONGEST = 600


class FindingView(View):
    """A finding as ``doctor --json`` tells it; ``advice`` is null where nothing is to be done."""

    check: str
    level: Level
    found: str
    advice: str | None


def diagnose(settings: Settings, *, roles: Sequence[str] = (), model_call: bool = False, as_json: bool = False) -> int:
    """Look at everything and print what was found; returns the exit code.

    Args:
        roles: the roles to try the rights of; none: all.
        model_call: whether to ask the model for one token.

    Raises:
        BadUsage: there is no such role, no model to call, or the server is ``memory://``.
        BadAddress: the address cannot be used as written.
    """
    known = {role.value: role for role in Role}
    if not set(roles) <= set(known):
        raise BadUsage(f"--role takes one of {', '.join(known)}")
    if model_call and settings.model is None:
        raise BadUsage(f"give {spelling('model')} the model to call, or leave --model-call away")
    return asyncio.run(_diagnose(settings, [known[role] for role in roles] or list(Role), model_call, as_json))


async def _diagnose(settings: Settings, roles: list[Role], model_call: bool, as_json: bool) -> int:
    try:
        async with open_bus(settings) as bus:
            findings = [
                Finding("address", Level.OK, f"{bus.address} answers"),
                await _hears(bus),
                *await examined(bus, settings, roles),
            ]
    except BadAddress:
        raise
    except TidingsError as error:
        findings = [Finding("address", Level.PROBLEM, str(error), f"correct {spelling('redis_url')}, or see to the server")]
    if model_call:
        findings.append(await ask_model(settings))
    for finding in findings:
        _tell(finding, as_json=as_json)
    return Exit.FAILED if any(finding.level is Level.PROBLEM for finding in findings) else Exit.DONE


async def examined(bus: Bus, settings: Settings, roles: list[Role]) -> list[Finding]:
    """Gather the facts and judge them; what cannot be read because of the user's rights is a finding of its own."""
    denied: dict[Role, tuple[str, ...]] = {}
    untried: list[Role] = []
    for role in roles:
        try:
            denied[role] = await bus.admin.denied(role)
        except AccessDenied:
            untried.append(role)
    unexpected = _Unexpected()
    try:
        server = await bus.admin.server()
        roll = await unexpected.or_else((), bus.admin.processes(), "controllers", "workers", "versions", "undecided", "messages")
        waiting = await unexpected.or_else(Counter(), _waiting(bus), "unserved")
        places = [(DEFAULT_QUEUE, None), *(place for place in waiting if place != (DEFAULT_QUEUE, None))]
        queues = await unexpected.or_else(Queues(Queue(0), Queue(0)), bus.admin.queues(places), "ready", "due")
        unreadable = await unexpected.or_else([], _unreadable(bus), "records", "undecided")
    except AccessDenied as error:
        advice = "give the user the rights of its role, at least those of a viewer (docs/operations.md)"
        return [Finding("rights", Level.PROBLEM, str(error), advice)]
    facts = Facts(bus.now(), server, roll, queues, settings.lease_s, installed_version(), denied, untried, unreadable, waiting)
    judged = [finding for finding in examine(facts) if finding.check not in unexpected.unknown]
    return judged + unexpected.findings + _left_out(bus.admin.left_out)


async def _waiting(bus: Bus) -> Counter[Place]:
    return Counter([record.work.place async for record in bus.sessions(State.QUEUED)])


async def _unreadable(bus: Bus) -> list[Unreadable]:
    return [one async for one in bus.admin.unreadable()]


class _Unexpected:
    """The keys that hold another type of value: a finding each, and what could not be judged because of them."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.unknown: set[str] = set()

    async def or_else(self, nothing: T, asking: Awaitable[T], *checks: str) -> T:
        """Return what is answered; where the key is another one, note that instead of the checks that rest on it."""
        try:
            return await asking
        except UnexpectedKey as error:
            advice = "until then processes wait, as for a server that is away; sessions stay as they are"
            finding = Finding("keys", Level.PROBLEM, str(error), advice)
            self.findings += [finding] if finding not in self.findings else []
            self.unknown |= {*checks}
            return nothing


def _left_out(count: int) -> list[Finding]:
    if not count:
        return []
    found = f"entries of the list of processes that cannot be read, or are too many or too large: {count}"
    advice = "end what writes into it (keys seen and presences): what is no process of ours is forgotten after a day"
    return [Finding("processes", Level.NOTE, found, advice)]


async def _hears(bus: Bus) -> Finding:
    heard = Wakeup()
    try:
        async with asyncio.timeout(_HEARD_S):
            await bus.on_status("doctor", heard)
            await heard.wait()
    except TimeoutError:
        found = f"the server did not confirm a subscription within {_HEARD_S:g} s: watching is not possible"
        advice = "give the user SUBSCRIBE on the channels of its role; a proxy in between must pass Pub/Sub on"
        return Finding("subscribe", Level.PROBLEM, found, advice)
    finally:
        await bus.forget(heard)
    return Finding("subscribe", Level.OK, "the server confirms subscriptions")


async def ask_model(settings: Settings) -> Finding:
    """Ask the model for one token, in one request, and say whether it answered; never raises."""
    from tidings.workers.errors import BrokenAnswer, LlmError
    from tidings.workers.llm import Llm, close_litellm, load_litellm
    from tidings.workers.retry import RetryPlan

    model = settings.model or ""
    try:
        await asyncio.to_thread(load_litellm)
        llm = Llm(model, plan=RetryPlan(attempts=1), timeout_s=settings.llm_timeout_s, api_base=settings.api_base)
        await llm.complete([{"role": "user", "content": "Say: yes"}], max_tokens=1)
    except LlmError as error:
        # A model that thinks first has used its one token up before it says anything.
        if not (type(error.__cause__) is BrokenAnswer and error.failure.reason is Reason.CONTEXT_WINDOW):
            return Finding("model", Level.PROBLEM, f"{model}: {error.failure.message}", error.failure.action)
    except ImportError:
        return Finding("model", Level.PROBLEM, "litellm is not installed", "pip install 'tidings[worker]'")
    except Exception as error:
        return Finding("model", Level.PROBLEM, f"{model}: {cause_of(error)}", "correct the model, its address or its key")
    finally:
        await close_litellm()
    return Finding("model", Level.OK, f"{model} answers")


def _tell(finding: Finding, *, as_json: bool) -> None:
    secrets = environment_secrets(os.environ)
    found, advice = (one_line(redact(text, secrets, 2 * _LONGEST), _LONGEST) for text in (finding.found, finding.advice))
    if as_json:
        print_json(FindingView(check=finding.check, level=finding.level, found=found, advice=advice or None).line())
        return
    word, colour = _SIGNS[finding.level]
    line = Text.assemble((f"{word:<8}", colour), (f"{finding.check:<12}", "bold"), found)
    if advice:
        line.append(f"\n{'':20}-> {advice}")
    screen().print(line)
