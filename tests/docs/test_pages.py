"""What people read: links that lead somewhere, tests that exist, commands that can be given, snippets that run."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer

from tidings.bus import AgentMessage, Bus, Event, LlmAttempt, LlmRecovered, LlmRetry, Message, Notice, State, UserMessage
from tidings.workers.agent import Next
from tidings.workers.cli import app
from tidings.workers.cli.exits import Exit
from tidings.workers.context import Context
from tidings.workers.llm import Llm, close_litellm
from tidings.workers.provider import Fault, Provider, ProviderSettings

CHECKOUT = Path(__file__).resolve().parents[2]
README, TOUR = CHECKOUT / "README.md", CHECKOUT / "docs" / "tour.md"
PAGES = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"), *(CHECKOUT / "bench").glob("*.md")])

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
_TEST = re.compile(r"\b(tests/[\w/]+\.py)::(\w+)")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))


def _blocks(page: Path, kind: str) -> list[str]:
    return [body for found, body in _BLOCK.findall(page.read_text()) if found == kind]


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """Each link within the repository names a file or folder that is there."""
    targets = [target for target in _LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@each_page
def test_tests_that_are_named_exist(page: Path) -> None:
    """Who looks for the test of a guarantee finds it."""
    named = sorted(set(_TEST.findall(page.read_text())))
    assert [f"{file}::{name}" for file, name in named if name not in _functions(CHECKOUT / file)] == []


def _functions(path: Path) -> set[str]:
    if not path.exists():
        return set()
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}


def test_every_guarantee_names_its_tests() -> None:
    """Each of the eleven is shown by at least one test."""
    promised = (CHECKOUT / "docs" / "guarantees.md").read_text().partition("# What is not promised")[0]
    chapters = re.split(r"^## \d+\. ", promised, flags=re.MULTILINE)[1:]
    assert [bool(_TEST.search(chapter)) for chapter in chapters] == [True] * 11


@each_page
def test_no_page_knows_the_machine_it_was_written_on(page: Path) -> None:
    """Paths in pasted output are shortened."""
    assert re.findall(r"/(?:home|root|Users|work|var/folders)/\S*", page.read_text()) == []


def _snippet(holding: str) -> str:
    """Return the one snippet of Python in the README that holds a text."""
    (found,) = [block for block in _blocks(README, "python") if holding in block]
    return found


def _commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each `tidings` command that a page shows."""
    for block in _blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ tidings "):
                words = shlex.split(line.partition(" # ")[0].rstrip(" &"))
                yield words[2:]


@each_page
def test_commands_can_be_given(page: Path) -> None:
    """Each command and each flag that a page shows is one that `tidings` has."""
    group: Any = typer.main.get_command(app)
    everywhere = {flag for parameter in group.params for flag in parameter.opts}
    wrong: list[str] = []
    for words in _commands(page):
        name = next((word for word in words if not word.startswith("-")), "")
        command = group.commands.get(name)
        known = everywhere | {flag for parameter in command.params for flag in parameter.opts} if command else everywhere
        flags = {word.partition("=")[0] for word in words if word.startswith("-")}
        if (name and command is None) or not flags <= known | {"--help"}:
            wrong.append(shlex.join(words))
    assert wrong == []


def test_the_tour_has_commands() -> None:
    """The test above has something to look at."""
    assert len(list(_commands(TOUR))) > 10


def test_the_tour_tells_every_exit_code() -> None:
    """The table of exit codes is complete; those that shells give for signals go without saying."""
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", TOUR.read_text(), flags=re.MULTILINE)}
    assert told == {code.value for code in Exit if code < 128}


async def test_the_loop_of_the_readme_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed in as it stands, but for the address: it writes its poem, is seen in its waits, and says how a refusal ends."""
    place, names = f"memory://{uuid4().hex}", dict[str, Any]()
    program = _snippet("worker.lease(").replace("redis://127.0.0.1:6379/0", place)
    assert place in program
    exec(program.removesuffix("asyncio.run(main())\n"), names)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-readme-0123456789")
    async with Bus.connect(place) as bus, Provider(ProviderSettings()) as provider:
        monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
        provider.script(Fault.parse("429:retry-after=0.01"))
        await names["main"]()
        assert [event.type for event in await bus.history("poem")] == ["user.message", "agent.message"]
        assert (await bus.status("poem")).state is State.FINISHED
        async with bus.follow("poem", Notice, after=0) as notices:
            told = [await anext(notices) for _ in range(5)]
        assert [type(notice.data) for notice in told[2:] if isinstance(notice, Message)] == [LlmRetry, LlmAttempt, LlmRecovered]
        await close_litellm()


@pytest.mark.parametrize("snippet", _blocks(README, "python"), ids=["loop", "agent"])
def test_snippets_are_python(snippet: str) -> None:
    """What the README shows compiles."""
    compile(snippet, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def test_the_agent_of_the_readme_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers what was said, once, and says nothing when nothing was."""
    names: dict[str, Any] = {}
    exec(_snippet("def step("), names)
    agent = names["Greeter"]()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-readme-0123456789")
    asked: Message[Event] = Message.of(UserMessage(text="Good morning"), session="s", offset=1)
    async with Provider(ProviderSettings()) as provider:
        llm = Llm("openai/test", api_base=provider.base_url)
        step = await agent.step(Context("s", [asked], llm))
        (said,) = step.events
        assert isinstance(said, AgentMessage)
        assert (said.text, step.next) == ("You said: Good morning", Next.AWAIT_INPUT)
        assert list((await agent.step(Context("s", [], llm))).events) == []
        assert [message["role"] for message in provider.requests[0].messages] == ["system", "user"]
        await close_litellm()
