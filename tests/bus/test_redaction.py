"""Secrets and terminal tricks are gone before anybody reads a text."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidings.bus import redaction
from tidings.bus.redaction import environment_secrets, one_line, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Incorrect API key provided: sk-abcd1234efgh5678.", "Incorrect API key provided: [redacted]."),
        ("sk-proj-ab_cd-1234567890 wrong", "[redacted] wrong"),
        ("key sk-ant-api03-Zm9v_YmFy-1234", "key [redacted]"),
        ("sk-abcd****wxyz", "[redacted]"),
        ("gsk_abcdefgh12345678", "[redacted]"),
        ("xai-abcdefgh12345678", "[redacted]"),
        ("hf_abcdefghijklmnopqrst", "[redacted]"),
        ("ghp_abcdefghijklmnopqrst", "[redacted]"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[redacted]"),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
        (f"token {JWT} expired", "token [redacted] expired"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic [redacted]"),
        ("Authorization: abc123", "Authorization: [redacted]"),
        ("api_key=abc&x=1", "api_key=[redacted]&x=1"),
        ("x-api-key: foo-bar", "x-api-key: [redacted]"),
        ("OPENAI_API_KEY=abc", "OPENAI_API_KEY=[redacted]"),
        ('{"api_key": "a b,c"}', '{"api_key": "[redacted]"}'),
        ('{\\"api_key\\": \\"a b\\"}', '{\\"api_key\\": \\"[redacted]\\"}'),
        ("{'password': 'x'}", "{'password': '[redacted]'}"),
        ("client_secret = hunter2", "client_secret = [redacted]"),
        ("https://host/v1?key=short&alt=sse", "https://host/v1?key=[redacted]&alt=sse"),
        ("redis://user:p@ss@host:6379/0", "redis://[redacted]@host:6379/0"),
        ("https://ghost@host/x", "https://[redacted]@host/x"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----",
            "[redacted]",
        ),
    ],
)
def test_shapes_of_credentials_are_removed(text: str, clean: str) -> None:
    """What looks like a credential goes, and the words around it stay."""
    assert redact(text) == clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "risk-management and task-based things",
        "Bearer token is missing; basic authentication failed",
        "Please pass an `api_key`, or set OPENAI_API_KEY",
        "max_tokens=100, tokens: 5, Limit 30000",
        "the secret of success",
        "https://example.com/users/@me?q=a@b",
        "hf_hub_download failed",
        "Please try again in 1m30s.",
        "",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Words that only resemble credentials are left alone."""
    assert redact(text) == text


def test_known_values_are_removed_in_every_spelling() -> None:
    """A value goes as it is, percent-encoded in a URL, and escaped in JSON."""
    secret = 'p"ä/ss\nword'
    text = f'plain {secret}; url {quote(secret, safe="")}; json p\\"ä/ss\\nword and p\\"\\u00e4/ss\\nword'
    assert redact(text, [secret]) == "plain [redacted]; url [redacted]; json [redacted] and [redacted]"


def test_overlapping_values_leave_no_remainder() -> None:
    """Where two values overlap, both go as a whole."""
    assert redact("xabcdefghix", ["abcdef", "defghi"]) == "x[redacted]x"
    assert redact("xabcdefghix", ["abc", "abcdefghi", "def"]) == "x[redacted]x"


def test_blank_values_are_no_secrets() -> None:
    """An empty variable does not turn every text into markers."""
    assert redact("a b", ["", "  ", "\n"]) == "a b"


def test_value_with_a_line_break_at_its_end_is_found_without_it() -> None:
    """A key read from a file often ends in a line break that the text does not have."""
    assert redact("wrong key hush-hush", ["hush-hush\n"]) == "wrong key [redacted]"


def test_environment_secrets() -> None:
    """Variables named like secrets, and passwords in URLs, are collected; short values and others are not."""
    environment = {
        "OPENAI_API_KEY": "value-one",
        "MYAPIKEY": "value-two",
        "GITHUB_TOKEN": " value-three ",
        "client_secret": "value-four",
        "PGPASSWORD": "value-five",
        "TIDINGS_REDIS_URL": "redis://user:p%40ssword@host:6379/0",
        "USE_TOKEN": "true",
        "PATH": "/usr/bin",
        "KEYBOARD": "qwerty-layout",
        "BROKEN_URL": "http://[@x",
        "PLAIN_URL": "http://host/@me",
    }
    assert environment_secrets(environment) == {
        "value-one",
        "value-two",
        "value-three",
        "value-four",
        "value-five",
        "p%40ssword",
        "p@ssword",
    }


SECRET = st.text(st.characters(codec="utf-8", exclude_categories=("Zs", "Cc")), min_size=6).filter(
    lambda value: value.strip() and value not in "[redacted]"
)


@given(before=st.text(), secret=SECRET, after=st.text())
def test_known_value_is_gone_whatever_surrounds_it(before: str, secret: str, after: str) -> None:
    """The value itself does not come through."""
    clean = redact(f"{before}{secret}{after}", [secret])
    assert secret.strip() not in clean.replace("[redacted]", "\0")


@example(text="://&KEY://0@")
@given(text=st.text() | st.from_regex(r"(sk-[a-z]*|api_key[=:]\"?|Bearer |://|@|eyJ|\.|[a-z0-9]{5}| )*", fullmatch=True))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """A text that has passed once can pass again unharmed."""
    once = redact(text)
    assert redact(once) == once


BEGINNINGS = [
    *("sk-", "sk-a", "eyJ", "eyJaaaaaa.", "://", "://a", "api_key", "api_key='", 'api_key="', "api_key\\"),
    *(
        "a_",
        "@",
        " ",
        "a",
        "bearer ",
        "key_",
        "access-",
        "\x1b[0",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
    ),
]


@pytest.mark.parametrize("size", [100_000, pytest.param(1_000_000, marks=pytest.mark.full)])
@pytest.mark.parametrize("piece", BEGINNINGS)
def test_many_beginnings_are_bounded_work(piece: str, size: int) -> None:
    """Text made to look like the start of a match everywhere takes linear time (quadratic would hang)."""
    text = piece * (size // len(piece))
    assert len(one_line(redact(text))) <= 500


SHAPED = (
    "sk-abcd1234efgh5678ijkl",
    JWT,
    "Bearer abc.def-123456789",
    "password='a b c d e f g h'",
    "api_key=abcdefgh12345678",
    "https://user:pass-word@host",
    "-----BEGIN PRIVATE KEY-----\nMIIEabcdefgh\n-----END PRIVATE KEY-----",
)


@pytest.mark.parametrize("secret", [*SHAPED, "correct horse battery", "known-" * 600])
def test_no_part_of_a_secret_is_left_at_a_limit(secret: str) -> None:
    """Wherever the limit, or the end of what is looked at, falls into it: what is left is what whole redaction would leave."""
    known = [secret] if secret not in SHAPED else []
    margin = redaction.cut_margin(known)
    for inside in {*range(1, min(len(secret), 70)), len(secret) - 1}:
        for before in (1000 - inside, 1000 + margin - inside):
            text = "x" * (before - 1) + " " + secret + " " + "y" * 10_000
            assert redact(text, known).startswith(redact(text, known, 1000))


@given(st.text(max_size=400), st.integers(0, 300), st.sampled_from(SHAPED))
def test_a_limit_shows_the_beginning_of_what_is_shown_without_one(around: str, limit: int, secret: str) -> None:
    """Never more, and never something else."""
    text = f"{around} {secret} {around}"
    assert redact(text, (), limit) == redact(text)[:limit]


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_what_is_beyond_a_limit_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The work depends on the limit and on nothing else."""
    touched: list[int] = []

    class Counting:
        def sub(self, _: object, text: str) -> str:
            touched.append(len(text))
            return text

    for name in ("_PRIVATE_KEY", "_URL_USER", "_BEARER", "_JWT", "_TOKEN", "_NAMED"):
        monkeypatch.setattr(redaction, name, Counting())
    redact("x" * size, (), 500)
    assert touched == [500 + redaction.cut_margin(())] * 6


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\nlines\r\n\tand  more ", "two lines and more"),
        ("nul\x00bell\x07del\x7f", "nul bell del"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("evil \u202etxt.exe\u2066", "evil txt.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("line\u2028para\u2029end", "line para end"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("grüße 👩\u200d👧", "grüße 👩\u200d👧"),
        ("", ""),
    ],
)
def test_one_line(text: str, line: str) -> None:
    """Controls and breaks become spaces, invisible and turning characters go, everything else stays."""
    assert one_line(text) == line


def test_long_line_ends_in_an_ellipsis() -> None:
    """The result is never longer than the limit, the ellipsis included."""
    assert one_line("abcdef", 6) == "abcdef"
    assert one_line("abcdefg", 6) == "abcde…"
    assert one_line("abcd efg", 6) == "abcd…"
    assert one_line("abc", 1) == "…"


def test_limit_must_leave_room() -> None:
    """A limit below one is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least 1"):
        one_line("x", 0)


@given(text=st.text(st.characters()), limit=st.integers(1, 50))
def test_any_text_fits_in_one_line(text: str, limit: int) -> None:
    """No control, no break, no surrogate, no direction mark, and not too long."""
    line = one_line(text, limit)
    assert len(line) <= limit
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", line)
    line.encode()


def test_marker_is_public() -> None:
    """Others compare with the marker by name."""
    assert redaction.REDACTED == "[redacted]"
