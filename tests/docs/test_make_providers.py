"""The page on providers has every answer that is tested; that they are read rightly is shown by tests/workers/retry."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.messages import Reason
from docs import make_providers
from tests.workers.retry.answers.documented import Documented, openai
from tests.workers.retry.answers.table import DOCUMENTED

TEAM_PROVIDERS = (
    "OpenAI",
    "Azure OpenAI",
    "Anthropic",
    "Gemini",
    "Vertex AI",
    "Mistral",
    "Groq",
    "Bedrock",
    "OpenRouter",
    "vLLM",
    "Other servers and services",
)


def row_of(status: int, body: str, source: str = "docs") -> list[str]:
    """Return the cells of the row that an answer gets."""
    answer = Documented("name", "openai", status, body, Reason.UNKNOWN, source, provider="Somebody")
    return [cell.strip() for cell in make_providers._row(answer).strip("|").split(" | ")]


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes an answer, or how it is read, writes the page anew: `make docs`."""
    assert make_providers.main(["--check"]) == 0, capsys.readouterr().err


def test_an_old_page_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The check says what to run; running it writes the page."""
    page = tmp_path / "providers.md"
    page.write_text(make_providers.PAGE.read_text(encoding="utf-8").replace("| 529 ", "| 530 "), encoding="utf-8")
    monkeypatch.setattr(make_providers, "PAGE", page)
    assert make_providers.main(["--check"]) == 1
    assert "run python docs/make_providers.py" in capsys.readouterr().err
    assert make_providers.main([]) == 0
    assert make_providers.main(["--check"]) == 0


def test_every_provider_has_a_table_and_every_answer_a_row() -> None:
    """At least sixty, each with its source."""
    lines = make_providers.answers().splitlines()
    assert [line.removeprefix("### ") for line in lines if line.startswith("### ")] == list(TEAM_PROVIDERS)
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| what happened")]
    assert len(rows) == len(DOCUMENTED) > 60
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_reason_is_explained() -> None:
    """With what a person is told."""
    assert all(f"| `{reason}` |" in make_providers.reasons() for reason in Reason)


@pytest.mark.parametrize(
    ("status", "message", "consequence"),
    [
        (429, "no", "tried again"),
        (429, "Please try again in 7s.", "tried again after 7 s"),
        (429, "Please try again in 7m12s.", "parked for 7.2 min"),
        (429, "Please try again in 3h.", "parked for 3 h"),
        (429, "Please try again in 25h.", "parked until it is resumed"),
        (402, "no", "parked until it is resumed"),
        (401, "no", "error"),
        (500, "no", "tried again"),
    ],
)
def test_what_follows_is_what_the_plan_does(status: int, message: str, consequence: str) -> None:
    """In words, with the wait that the provider named."""
    assert row_of(status, openai(message))[3] == consequence


def test_words_of_others_do_not_break_the_table() -> None:
    """Bars, tags and stars are shown as they are; what is long is cut between words."""
    assert row_of(400, openai("a|b <b>*x*"))[1] == r"400: a\|b &lt;b&gt;\*x\*"
    assert row_of(400, openai("word " * 50))[1].endswith("word …")


def test_a_thread_can_be_opened() -> None:
    """What is no thread is named as it is."""
    assert row_of(400, "{}", "GitHub a/b.c#7; docs")[5] == "[a/b.c#7](https://github.com/a/b.c/issues/7); docs"
