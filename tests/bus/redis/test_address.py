from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.bus.errors import BadAddress
from tidings.bus.redis.address import UNREADABLE, Address, address_of

# A mark that is in every planted secret and in nothing else.
MARK = "Zq7"
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).map(lambda text: f"{MARK}{text}")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://", "redis://localhost:6379/0"),
        ("redis://h", "redis://h:6379/0"),
        ("REDIS://H:1/2", "redis://h:1/2"),
        ("redis://h:1/2/", "redis://h:1/2"),
        ("redis://h:1?db=3", "redis://h:1/3"),
        ("redis://user:pw@h:1/2", "redis://h:1/2"),
        ("redis://user@h", "redis://h:6379/0"),
        ("redis://:p@ss@h", "redis://h:6379/0"),
        ("redis://[::1]:7000/1", "redis://[::1]:7000/1"),
        ("redis://h%1b:1", "redis://h%1B:1/0"),
        ("redis://h/0?password=pw&username=u&client_name=c", "redis://h:6379/0"),
        ("rediss://u:pw@h/1?ssl_cert_reqs=none&ssl_password=x", "rediss://h:6379/1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("unix://user:pw@/run/redis.sock?db=2&password=x", "unix:///run/redis.sock?db=2"),
        ("unix:///run/a%20b.sock", "unix:///run/a%20b.sock"),
        ("unix:///run/a@b.sock", "unix:///run/a%40b.sock"),
        ("embedded://", "embedded://"),
        ("embedded:///var/lib/my%20data", "embedded:///var/lib/my%20data"),
        ("memory://", "memory://"),
        ("memory://Some-name_1.2", "memory://Some-name_1.2"),
        ("  redis://h:1\n", "redis://h:1/0"),
    ],
)
def test_the_text_of_an_address_is_its_place_and_nothing_else(url: str, text: str) -> None:
    """User, password and options are left out; host, port and database are always there."""
    assert address_of(url) == text
    assert str(Address.parse(url)) == text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "redis://host:6379/0"),
        ("localhost:6379", "cannot be read"),
        ("http://h", "known schemes"),
        ("redis:h", "cannot be read"),
        ("redis://h:port", "percent-encoded"),
        ("redis://h:70000", "percent-encoded"),
        ("redis://h:0", "port 0"),
        ("redis://h/name", "database number"),
        ("redis://h/-1", "database number"),
        ("redis://h?db=-1", "from 0 on"),
        ("redis://h?db=x", "'db'"),
        ("redis://h/0#x", "percent-encoded"),
        ("redis://h/0#", "percent-encoded"),
        ("redis://[::1", "cannot be read"),
        ("redis://h\x1b[31m", "cannot be read"),
        ("redis://user:a/b@h", "percent-encoded"),
        ("redis://user:a?b@h", "percent-encoded"),
        ("redis://h?max_connections=5&decode_responses=1", "decode_responses, max_connections"),
        ("redis://h?ssl_cert_reqs=none", "client_name, db, password, username"),
        ("rediss://h?ssl_min_version=x", "'ssl_min_version'"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix://", "three slashes"),
        ("unix://u:a@/b@/run/redis.sock", "three slashes"),
        ("unix:///run/%00", "three slashes"),
        ("embedded://relative/path", "embedded:///path/to/folder"),
        ("embedded:///path?x=1", "embedded:///path/to/folder"),
        ("embedded:///a%0ab", "embedded:///path/to/folder"),
        ("memory://a/b", "memory://name"),
        ("memory://a:b@c", "memory://name"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_write_instead(url: str, says: str) -> None:
    """A refused URL gives advice, is a ValueError, and is shown as unreadable."""
    with pytest.raises(BadAddress, match=re.escape(says)) as caught:
        Address.parse(url)
    assert isinstance(caught.value, ValueError)
    assert address_of(url) == UNREADABLE


def test_options_are_those_of_redis_py() -> None:
    """Place, credentials, database and TLS options come out as redis-py's connection takes them."""
    tls = Address.parse("rediss://me:p%40ss@h:1/2?ssl_ca_certs=/ca.pem&ssl_check_hostname=no")
    assert tls.options == {
        "host": "h",
        "port": 1,
        "db": 2,
        "username": "me",
        "password": "p@ss",
        "ssl_ca_certs": "/ca.pem",
        "ssl_check_hostname": False,
        "ssl_password": "",
    }
    unix = Address.parse("unix:///run/a%20b.sock?db=1&password=x%2By")
    assert unix.options == {"path": "/run/a b.sock", "db": 1, "password": "x+y"}


def test_an_address_does_not_show_its_url() -> None:
    """The representation holds the safe text only, though the whole URL is there for those who need it."""
    address = Address.parse("redis://me:hidden-word@h")
    assert address.url == "redis://me:hidden-word@h"
    assert "hidden-word" not in repr(address)
    assert "h:6379" in repr(address)


@given(user=SECRETS, password=SECRETS)
def test_planted_credentials_are_never_shown(user: str, password: str) -> None:
    """However user and password are written into a URL, the address's text and repr are without them."""
    u, p = quote(user, safe=""), quote(password, safe="")
    for url in (
        f"redis://{u}:{p}@host:1/2",
        f"rediss://:{p}@host:1/2?ssl_password={p}",
        f"redis://host:1/2?username={u}&password={p}",
        f"unix://{u}:{p}@/run/redis.sock",
        f"unix:///run/redis.sock?username={u}&password={p}",
    ):
        address = Address.parse(url)
        assert MARK not in f"{address} {address!r} {address_of(url)}"
        assert address.options["password"] == password
        assert MARK not in address.without_secrets(f"one {password} two {p} three {password}")


def refusal(url: str) -> BadAddress | None:
    """Return the error that the URL gives, if it does."""
    try:
        Address.parse(url)
    except BadAddress as error:
        return error
    return None


@given(password=SECRETS, scheme=st.sampled_from(["redis", "rediss", "unix", "embedded", "memory", "http"]))
def test_credentials_that_are_not_encoded_are_not_shown_either(password: str, scheme: str) -> None:
    """A URL that falls apart at a special character of its password is shown without any part of that."""
    for url in (f"{scheme}://user:{password}@host:1/2", f"{scheme}://:{password}@/run/redis.sock", password):
        assert MARK not in address_of(url)
        error = refusal(url)
        if error is not None:
            assert MARK not in f"{error} {error!r} {error.args} {error.address}"
            assert error.__context__ is None


@given(st.text() | st.text().map(lambda text: f"redis://{text}") | st.text().map(lambda text: f"unix://{text}"))
def test_no_text_is_too_strange(url: str) -> None:
    """Whatever is given, it is an address or BadAddress, and what is shown can be printed."""
    assert address_of(url).isprintable()


def test_short_words_are_no_secrets_in_texts() -> None:
    """A user name such as `default`, or a password of three letters, does not garble the texts of errors."""
    address = Address.parse("redis://default:abc@h")
    assert address.without_secrets("the default is abc") == "the default is abc"
