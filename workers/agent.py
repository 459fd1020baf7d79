"""The agent: what a user brings. One method, and the way from the history to a prompt.

    class Greeter:
        async def step(self, ctx):
            if not unanswered(ctx.history):
                return Step()
            completion = await ctx.llm.complete(to_prompt(ctx.history))
            return Step([AgentMessage(text=completion.text)])

An agent keeps nothing between steps: all it knows is the history, so any worker can go on where another stopped.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tidings.bus import (
    AgentMessage,
    ChildResult,
    ChildStart,
    Event,
    HistoryCondensed,
    Message,
    ToolCall,
    UnknownEvent,
    UserMessage,
)
from tidings.bus.messages.values import Data
from tidings.bus.place import described
from tidings.workers.context import Context
from tidings.workers.family import child_id
from tidings.workers.prompt import child_results, open_calls, open_children, to_prompt, unanswered

if TYPE_CHECKING:
    from tidings.workers.llm import Completion
    from tidings.workers.settings import Settings

__all__ = [
    "Agent",
    "AgentFactory",
    "BadAgent",
    "ChatAgent",
    "Next",
    "Step",
    "agent_for",
    "answer",
    "as_event",
    "child_results",
    "children_of",
    "load_agent",
    "load_agents",
    "open_calls",
    "open_children",
    "take_step",
    "to_prompt",
    "unanswered",
]

_SIGNATURE = "async def step(self, ctx)"
_YIELDS = "step() yields: it must return one Step; several steps are several calls, with Next.CONTINUE"

_OTHERS = (UserMessage, ChildResult, UnknownEvent)
"""Events that others add: an agent does not speak for people, nor for its children."""


class Next(StrEnum):
    """What comes after a step."""

    CONTINUE = "continue"
    """Another step of the same turn."""
    AWAIT_INPUT = "await_input"
    """The turn is over; a person speaks next."""
    FINISH = "finish"
    """The session is over."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of an agent adds to the history, stored all or none, and what comes next."""

    events: Sequence[Event] = field(default_factory=tuple)
    next: Next = Next.AWAIT_INPUT


@runtime_checkable
class Agent(Protocol):
    """What a user brings.

    A class may have ``children``, a mapping from names to what makes the agents of its children: a session that was started as
    a child of that name is run by it. The mapping of the root's class counts at every depth, and a name that is not in it gets
    the root's own agent.
    """

    async def step(self, ctx: Context) -> Step:
        """Take one step.

        A call to a tool takes two: one that returns the ``ToolCall`` with ``Next.CONTINUE``, and the next, which finds it in
        the history without a result (``open_calls``), runs it and returns the ``ToolResult``. So the call is in the history
        before the tool runs, and nobody runs it twice unawares.

        There may be nothing to do (``unanswered``), for example when a worker was lost right after it had stored the answer. Then
        the right step is an empty one.

        Args:
            ctx: the history, what makes the calls, and the way to tell people what the step does.

        Raises:
            LlmError: as ``ctx.llm`` raised it: the session is parked, or its state becomes ``error``; it can be resumed at this
                step.
            Exception: anything else is the agent's own fault: it is appended as ``agent.error``.
        """
        ...


AgentFactory = Callable[[], Agent]
"""Makes an agent for one run of one session."""


class ChatAgent:
    """Answers each user message with one call; every turn ends with a person's turn to speak.

    Args:
        system_prompt: what stands before the conversation; empty for nothing.
    """

    def __init__(self, system_prompt: str = "") -> None:
        self._system_prompt = system_prompt

    @classmethod
    def from_settings(cls, settings: Settings) -> ChatAgent:
        """Make one with the system prompt of the settings."""
        return cls(settings.system_prompt)

    async def step(self, ctx: Context) -> Step:
        """Answer what was said since the last answer, if anything was."""
        if not unanswered(ctx.history):
            return Step()
        completion = await ctx.llm.complete(to_prompt(ctx.history, self._system_prompt))
        return Step(answer(completion))


def answer(completion: Completion, idempotent: frozenset[str] = frozenset()) -> list[Event]:
    """Return a model's answer as events: what it said, then the tools that it calls.

    Args:
        idempotent: names of the tools that may run twice without harm.
    """
    message = AgentMessage(
        text=completion.text,
        model=completion.model,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        cut=completion.cut,
    )
    calls = [
        ToolCall(
            call_id=request.call_id,
            name=request.name,
            arguments=request.arguments,
            idempotent=request.name in idempotent,
        )
        for request in completion.tool_calls
    ]
    return [message, *calls]


def as_event(data: Event, session: str, source: str, read: int | None = None) -> Message[Event]:
    """Put what an agent adds into an envelope.

    Args:
        read: offset up to which the agent knew the history; noted in what it says, where it does not say so itself.

    Raises:
        TypeError: it is nothing that an agent may add, a notice for instance.
        ValueError: it condenses what the agent has not read.
    """
    if not isinstance(data, Event) or isinstance(data, _OTHERS):
        raise TypeError(
            f"an agent cannot add a {type(data).__name__} to the history: use AgentMessage, ToolCall or another event"
        )
    if isinstance(data, AgentMessage) and data.read is None:
        data = data.model_copy(update={"read": read})
    if isinstance(data, HistoryCondensed) and read is not None and data.through > read:
        raise ValueError(f"the history is condensed through offset {data.through}, and the agent has read it up to {read}")
    event = Message.of(data, session=session, source=source)
    if isinstance(data, ChildStart) and data.child is None:
        named = data.model_copy(update={"child": child_id(session, data.name, event.id)})
        return event.model_copy(update={"data": named})
    return event


class BadAgent(ValueError):
    """An agent cannot be used as it is; the text says why, and what to write."""


def load_agents(settings: Settings) -> Mapping[str, AgentFactory]:
    """Return what makes the agents of a worker, by name; '' for one that has none.

    Raises:
        BadAgent: one cannot be used, or has no name of its own beside others.
    """
    found: dict[str, AgentFactory] = {}
    for spec in settings.agent.split(","):
        name, _, place = spec.rpartition("=")
        if name in found:
            raise BadAgent(f"two agents are called {name!r}" if name else "several agents need names: write NAME=module:Class")
        found[name] = load_agent(place, settings)
    if "" in found and len(found) > 1:
        raise BadAgent("several agents need names: write NAME=module:Class")
    return found


def load_agent(spec: str, settings: Settings) -> AgentFactory:
    """Find the class ``module:Class`` and return what makes an agent from it.

    A class with ``from_settings`` gets the settings, any other is called without arguments. Modules of the current folder are
    found. One agent of it, and one of each of its children, is made to see that they can be used.

    Raises:
        BadAgent: there is no such module or class, none can be made of it, or its ``step`` cannot be one.
    """
    module_name, _, class_name = spec.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise BadAgent(f"agent {spec!r}: module {module_name!r} cannot be imported: {described(error)}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise BadAgent(f"agent {spec!r}: module {module_name!r} has no class {class_name!r}{_instead(found)}")
    try:
        factory = factory_of(found, settings)
        _check_made(factory, class_name)
        children = children_of(factory)
        for name in children:
            _check_made(children[name], f"its child {name!r}")
    except BadAgent as error:
        raise BadAgent(f"agent {spec!r}: {error}") from error
    return factory


def _instead(found: object) -> str:
    """Say what stands where a class should."""
    if found is None:
        return ""
    what = "a function" if inspect.isroutine(found) else f"an object of the class {type(found).__name__!r}"
    return f": it is {what}; name a class, each run of a session makes an agent of its own"


def _check_made(make: Any, what: str) -> None:
    """Make an agent, and see that it can take steps.

    Raises:
        BadAgent: it cannot.
    """
    if isinstance(make, type):
        # Before it is made: the constructor may be what is wrong.
        _check_step(make, what)
    try:
        agent = make()
    except (Exception, SystemExit) as error:
        how = "made without arguments" if not isinstance(make, _FromSettings) else "made by from_settings(settings)"
        raise BadAgent(f"{what} cannot be {how}: {described(error)}") from error
    if inspect.iscoroutine(agent):
        agent.close()
        raise BadAgent(f"{what} is made by an async function: write `def` in place of `async def`")
    _check_step(agent, what)


def _check_step(agent: object, what: str) -> None:
    step = getattr(agent, "step", None)
    if not callable(step):
        raise BadAgent(f"{what} has no method step(ctx); see tidings.Agent")
    # A decorator may have made it async, or may only pass on what an async one gives.
    forms = [getattr(form, "__func__", form) for form in (step, inspect.unwrap(step))]
    if any(inspect.isasyncgenfunction(form) or inspect.isgeneratorfunction(form) for form in forms):
        raise BadAgent(f"{what}: {_YIELDS}")
    if all(inspect.isfunction(form) and not inspect.iscoroutinefunction(form) for form in forms):
        raise BadAgent(f"{what}: step() is not async: write `{_SIGNATURE}`")
    if isinstance(agent, type):
        return
    try:
        _check_arguments(step)
    except BadAgent as error:
        raise BadAgent(f"{what}: {error}") from error


def _check_arguments(step: Callable[..., object]) -> None:
    try:
        inspect.signature(step).bind(None)
    except TypeError as error:
        raise BadAgent(f"step() takes other arguments ({error}): write `{_SIGNATURE}`") from error
    except ValueError:  # it does not say what it takes
        return


async def take_step(agent: Agent, ctx: Context) -> Step:
    """Have an agent take one step.

    Raises:
        BadAgent: what it gave back is no step.
        BaseException: as the agent raised it.
    """
    try:
        made: object = agent.step(ctx)
    except TypeError:
        _check_arguments(agent.step)
        raise
    if isinstance(made, AsyncGenerator | Generator):
        raise BadAgent(_YIELDS)
    if not inspect.isawaitable(made):
        raise BadAgent(f"step() is not async: write `{_SIGNATURE}`")
    step = await made
    if isinstance(step, Step):
        if isinstance(step.events, Iterable) and not isinstance(step.events, str | bytes | Data):
            return step
        raise BadAgent(f"step() returned a Step whose events are {_kind(step.events)}: give it a list")
    if inspect.iscoroutine(step):
        step.close()
        raise BadAgent("step() returned a coroutine: write `return await ...`")
    raise BadAgent(f"step() returned {_kind(step)}: return a Step, e.g. `return Step(answer(completion))`")


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


@dataclass(frozen=True, slots=True)
class _FromSettings:
    """Makes agents of a class that wants the settings."""

    kind: Any
    settings: Settings

    def __call__(self) -> Agent:
        agent: Agent = self.kind.from_settings(self.settings)
        return agent

    @property
    def children(self) -> Mapping[str, AgentFactory]:
        """What makes the agents of its children."""
        return {name: factory_of(kind, self.settings) for name, kind in children_of(self.kind).items()}


def factory_of(kind: Any, settings: Settings) -> AgentFactory:
    """Return what makes agents of a class, or of a function: with the settings, where it has ``from_settings``."""
    factory: AgentFactory = kind if getattr(kind, "from_settings", None) is None else _FromSettings(kind, settings)
    return factory


def children_of(factory: object) -> Mapping[str, Any]:
    """Return what makes the agents of children, by name; none where it has no ``children``.

    Raises:
        BadAgent: they are no mapping.
    """
    children: Mapping[str, Any] | None = getattr(factory, "children", None)
    if not isinstance(children or {}, Mapping):
        raise BadAgent(f"its children are {_kind(children)}: write a mapping from names to what makes the agents")
    return children or {}


def agent_for(factory: AgentFactory, name: str | None) -> Agent:
    """Make the agent of a session.

    Args:
        factory: makes the agent of the root.
        name: of the child that the session is; None for a root. One that is not among the root's ``children`` gets its agent.
    """
    make: AgentFactory = factory if name is None else children_of(factory).get(name, factory)
    return make()
