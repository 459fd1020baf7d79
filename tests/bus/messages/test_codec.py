"""Messages to bytes and back."""

from __future__ import annotations

import gc
import json
import sys
import traceback
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests import strategies as draw
from tidings.bus import Bus, carries
from tidings.bus import messages as m
from tidings.bus.errors import InvalidMessage, PayloadTooLarge, TidingsError
from tidings.bus.messages.planes import UNKNOWN

PLANES = ("status", "events", "commands")
DECODERS = {"status": m.decode_notice, "events": m.decode_event, "commands": m.decode_command}
SECRET = "sk-Live-9fQ2xZ71-planted"
DEEP = 100_000

few = settings(max_examples=25)


def _deep(levels: int, innermost: Any = 1) -> Any:
    value = innermost
    for _ in range(levels):
        value = [value]
    return value


def _stored(payload: bytes, offset: int, epoch: str) -> bytes:
    """Write offset and epoch before the last brace, as the scripts do."""
    return payload[:-1] + f',"offset":{offset},"epoch":"{epoch}"}}'.encode()


def _event(text: str = "hello") -> m.Message[m.UserMessage]:
    return m.Message.of(m.UserMessage(text=text), id="m1", session="demo")


def _wire(**fields: Any) -> bytes:
    envelope = {"specversion": "1.0", "id": "m1", "source": "test", "type": "x.y", "subject": "demo"}
    return json.dumps(envelope | fields).encode()


# round trips


@pytest.mark.parametrize("model", draw.KNOWN, ids=lambda model: model.__name__)
@few
@given(drawn=st.data())
def test_every_type_comes_back_as_it_was(model: type[m.Body], drawn: st.DataObject) -> None:
    """Encoding and decoding gives the same type with the same fields."""
    message = drawn.draw(draw.of(model))
    assert message.data.model_fields_set == model.model_fields.keys(), "tests/strategies.py leaves a field out"
    back = m.decode(model.plane, m.encode(message))
    assert type(back.data) is model
    assert back == message


@pytest.mark.parametrize("plane", PLANES)
@few
@given(drawn=st.data())
def test_an_unknown_type_is_passed_on_with_its_data(plane: str, drawn: st.DataObject) -> None:
    """A type of a newer version arrives as an opaque message that says the same when it is encoded again."""
    message = drawn.draw(draw.unknown(plane))
    payload = m.encode(message)
    back = DECODERS[plane](payload)
    assert type(back.data) is UNKNOWN[plane]
    assert back == message
    assert m.encode(back) == payload


@few
@given(st.sampled_from(draw.KNOWN).flatmap(draw.of), draw.positives, st.uuids().map(lambda uuid: uuid.hex))
def test_the_store_writes_offset_and_epoch_before_the_last_brace(message: m.Message[Any], offset: int, epoch: str) -> None:
    """Encoding leaves offset and epoch out and gives one object into which they can be written as text."""
    payload = m.encode(message.model_copy(update={"offset": 7, "epoch": "other"}))
    assert not {"offset", "epoch"} & json.loads(payload).keys()
    back = m.decode(message.data.plane, _stored(payload, offset, epoch))
    assert (back.offset, back.epoch) == (offset, epoch)
    assert back.cursor == m.Cursor(epoch, offset, message.id)


@few
@given(st.sampled_from(draw.KNOWN).flatmap(draw.of), draw.json_objects)
def test_fields_that_are_not_known_are_kept_out(message: m.Message[Any], news: dict[str, Any]) -> None:
    """An older reader stands a newer writer: it sees the fields that it knows, and nothing else."""
    wire = json.loads(m.encode(message))
    wire |= {f"x-{key}": value for key, value in news.items()}
    wire["data"] |= {f"x-{key}": value for key, value in news.items()}
    assert m.decode(message.data.plane, json.dumps(wire)) == message


def test_every_message_type_is_registered() -> None:
    """Each class is found by its type, on its plane, and tests/strategies.py draws it."""
    ours = {kind: said for kind, said in m.TYPES.items() if said.__module__.startswith("tidings.")}
    assert set(ours.values()) == set(draw.KNOWN)
    assert all(said.type == kind and said.plane in PLANES for kind, said in ours.items())


def test_text_and_bytes_are_read_alike() -> None:
    """A payload may be given as text."""
    payload = m.encode(_event())
    assert m.decode_event(payload.decode()) == m.decode_event(payload)


# the planes


@few
@given(st.sampled_from(draw.KNOWN).flatmap(draw.of), st.sampled_from(PLANES))
def test_the_planes_are_not_interchangeable(message: m.Message[Any], plane: str) -> None:
    """On another plane a message is opaque: its type is not one that a reader of that plane acts upon."""
    assume(plane != message.data.plane)
    back = DECODERS[plane](m.encode(message))
    assert type(back.data) is UNKNOWN[plane]
    assert back.data.plane == plane


@few
@given(st.sampled_from(draw.NOTICES).flatmap(draw.of))
def test_a_notice_never_becomes_an_event_that_a_prompt_is_built_from(notice: m.Message[m.Notice]) -> None:
    """Read as an event it has no role, no text and no tool: only an UnknownEvent, which prompts leave out."""
    back = m.decode_event(m.encode(notice))
    assert carries(back, m.UnknownEvent)
    assert not isinstance(back, draw.EVENTS)


# what cannot be written


@given(draw.words, st.integers(0xD800, 0xDFFF).map(chr))
def test_lone_surrogates_become_the_replacement_character(text: str, surrogate: str) -> None:
    """Models emit them and UTF-8 cannot carry them: U+FFFD stands in their place, everywhere in a message."""
    broken, mended = text + surrogate, text + "\ufffd"
    call = m.ToolCall(call_id=broken, name=broken, arguments={broken: [broken, {broken: broken}]})
    message = m.Message.of(call, source=broken, session="demo")
    back = m.decode_event(m.encode(message))
    assert isinstance(back.data, m.ToolCall)
    assert back.source == back.data.call_id == back.data.name == mended
    assert back.data.arguments == {mended: [mended, {mended: mended}]}


def test_a_type_with_a_lone_surrogate_is_mended_too() -> None:
    """The type of an unknown message is text from outside like any other."""
    message = m.Message.unknown("events", "a\ud800", session="demo")
    assert m.decode_event(m.encode(message)).type == "a\ufffd"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_refused(number: float) -> None:
    """They are not JSON, wherever in a message they stand."""
    with pytest.raises(InvalidMessage, match="arguments"):
        m.build(m.ToolCall, call_id="c1", name="add", arguments={"a": [number]})
    with pytest.raises(InvalidMessage, match="NaN and infinity"):
        m.Message.unknown("events", "x.y", {"a": number}, session="demo")
    with pytest.raises(InvalidMessage, match="wait_s"):
        m.build(m.Wait, reason=m.Reason.TIMEOUT, wait_s=number)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_nan_and_infinity_are_refused_on_the_wire(text: str) -> None:
    """A writer that sends them nevertheless has written no message."""
    payload = _wire(data={"a": [0]}).replace(b"[0]", f"[{text}]".encode())
    with pytest.raises(InvalidMessage, match="NaN and infinity"):
        m.decode_event(payload)


def test_an_integer_that_readers_take_for_infinity_is_refused() -> None:
    """What is accepted can be read back by everybody, so an integer has at most 1024 bits."""
    longest = 2**1024 - 1
    message = m.Message.unknown("events", "x.y", {"a": longest}, session="demo")
    back = m.decode_event(m.encode(message))
    assert carries(back, m.UnknownEvent)
    assert back.data.fields == {"a": longest}
    for number in (longest + 1, -longest - 1, 10**5000):
        with pytest.raises(InvalidMessage, match="1024 bits"):
            m.Message.unknown("events", "x.y", {"a": number}, session="demo")


@pytest.mark.parametrize("value", [{1}, b"bytes", object(), 1j, {1: "a"}, {None: "a"}])
def test_what_is_not_json_is_refused(value: object) -> None:
    """A Python value without a JSON form is an error when the message is made, not when it is sent."""
    with pytest.raises(InvalidMessage, match="JSON"):
        m.build(m.ToolCall, call_id="c1", name="add", arguments={"a": [value]})


def test_json_may_be_64_deep_and_no_deeper() -> None:
    """64 lists within each other pass in both directions, the 65th does not, be it empty or not."""
    message = m.Message.of(m.ToolCall(call_id="c1", name="f", arguments=_deep(64)), session="demo")
    payload = m.encode(message)
    assert m.decode_event(payload) == message
    for levels, innermost in ((65, 1), (64, list[Any]())):
        with pytest.raises(InvalidMessage, match="deeper than 64"):
            m.build(m.ToolCall, call_id="c1", name="f", arguments=_deep(levels, innermost))
    with pytest.raises(InvalidMessage, match="deeper than 64"):
        m.decode_event(payload.replace(b"[1]", b"[[1]]"))


def test_extremely_deep_json_gives_the_same_error_when_built() -> None:
    """A hundred thousand levels are refused like 65: no RecursionError, no crash."""
    with pytest.raises(InvalidMessage, match="deeper than 64"):
        m.build(m.ToolCall, call_id="c1", name="f", arguments=_deep(DEEP))
    with pytest.raises(InvalidMessage, match="deeper than 64"):
        m.Message.unknown("events", "x.y", {"a": _deep(DEEP)}, session="demo")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("closed", [True, False])
def test_extremely_deep_json_gives_a_typed_error_when_read(opening: bytes, closed: bool) -> None:
    """Bytes that nest a hundred thousand levels, ended or not, are no message."""
    closing = b"]" if opening == b"[" else b"}"
    payload = b'{"data":{"a":' + opening * DEEP + b"1" + closing * DEEP * closed
    for read in DECODERS.values():
        with pytest.raises(InvalidMessage):
            read(payload)


def test_what_was_never_validated_cannot_be_encoded() -> None:
    """A copy with a field that JSON cannot carry gives our own error, which does not show the field."""
    for update in (
        {"source": SECRET + "\ud800"},
        {"data": m.UserMessage.model_construct(text=SECRET + "\ud800")},
    ):
        with pytest.raises(InvalidMessage, match=r"^user\.message cannot be written as JSON") as caught:
            m.encode(_event().model_copy(update=update))
        assert SECRET not in "".join(traceback.format_exception(caught.value))


# the limit


@given(st.text(min_size=1, max_size=200))
def test_the_limit_is_exact_and_in_bytes(text: str) -> None:
    """A message of exactly the limit goes through; with one byte less allowed the error says both sizes."""
    message = _event(text)
    size = len(m.encode(message))
    assert len(m.encode(message, size)) == size
    with pytest.raises(PayloadTooLarge) as caught:
        m.encode(message, size - 1)
    assert (caught.value.size, caught.value.limit) == (size, size - 1)


def test_the_limit_is_256_kib_unless_told() -> None:
    """A message of 262,144 bytes is the largest that goes out by default."""
    room = 256 * 1024 - len(m.encode(_event("")))
    assert len(m.encode(_event("x" * room))) == m.PAYLOAD_LIMIT == 262_144
    with pytest.raises(PayloadTooLarge, match=r"user\.message takes 262145 bytes"):
        m.encode(_event("x" * (room + 1)))


# what comes from outside


@given(st.binary() | st.text().map(str.encode) | draw.json_values.map(json.dumps).map(str.encode))
def test_garbage_is_an_invalid_message_and_nothing_else(payload: bytes) -> None:
    """Whatever bytes arrive, the reader gets the one typed error, in one line."""
    for read in DECODERS.values():
        with pytest.raises(InvalidMessage) as caught:
            read(payload)
        assert "\n" not in str(caught.value)


_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        "",
        "2026-11-22T10:00:00",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+14:00",
        1e308,
        2**70,
        [],
        {},
        None,
        True,
    ]
)


_FIELDS = sorted({name for model in draw.KNOWN for name in model.model_fields})


def _sometimes(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return good | _ODD | draw.json_values


_almost = st.fixed_dictionaries(
    {
        "id": _sometimes(draw.ids),
        "subject": _sometimes(draw.sessions),
        "type": _sometimes(st.sampled_from(sorted(draw.TYPES))),
    },
    optional={
        "specversion": _sometimes(st.just("1.0")),
        "source": _sometimes(draw.words),
        "time": _sometimes(draw.instants.map(str)),
        "traceparent": _sometimes(draw.texts),
        "offset": _sometimes(draw.counts),
        "epoch": _sometimes(draw.words),
        "data": _sometimes(st.dictionaries(st.sampled_from([*_FIELDS, "from"]), _ODD | draw.json_values, max_size=6)),
    },
)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(_almost)
def test_what_is_almost_a_message_is_read_or_refused(wire: dict[str, Any]) -> None:
    """Reading gives a message of the plane, which can be written again, or the one typed error."""
    payload = json.dumps(wire).encode()
    for plane, read in DECODERS.items():
        try:
            message = read(payload)
        except InvalidMessage:
            continue
        assert message.data.plane == plane
        assert read(m.encode(message)) == message.model_copy(update={"offset": None, "epoch": None})


@given(st.sampled_from(draw.KNOWN).flatmap(draw.of), st.data())
def test_a_cut_message_is_refused(message: m.Message[Any], drawn: st.DataObject) -> None:
    """No beginning of a message is taken for a shorter one."""
    payload = m.encode(message)
    cut = drawn.draw(st.integers(min_value=0, max_value=len(payload) - 1))
    with pytest.raises(InvalidMessage):
        m.decode(message.data.plane, payload[:cut])


@pytest.mark.parametrize("kind", [[], {}, None, 7, "", True])
@pytest.mark.parametrize("plane", PLANES)
def test_a_type_that_is_not_a_name_is_refused(kind: object, plane: str) -> None:
    """Also one that Python cannot look up in a set."""
    with pytest.raises(InvalidMessage, match="type"):
        m.decode(plane, _wire(type=kind))


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_beyond_the_calendar_is_refused(time: str) -> None:
    """A time that no UTC clock can show is invalid, not an overflow."""
    with pytest.raises(InvalidMessage, match="time"):
        m.decode_event(_wire(time=time))


def test_naive_times_are_refused() -> None:
    """A time without a zone says nothing to a reader elsewhere."""
    with pytest.raises(InvalidMessage, match="timezone"):
        m.decode_event(_wire(time="2026-11-22T10:00:00"))


def test_lone_surrogates_on_the_wire_are_refused() -> None:
    """An escaped one is no JSON text, and a str with one is no payload."""
    for payload in (_wire(data={"a": "\ud800"}), '{"type":"\ud800"}'):
        with pytest.raises(InvalidMessage):
            m.decode_event(payload)


# what errors say


def test_build_names_the_model_and_the_fields() -> None:
    """The error says which model, and every field that is missing or wrong."""
    with pytest.raises(InvalidMessage, match=r"^ToolCall: call_id: .*; name: .*") as caught:
        m.build(m.ToolCall, call_id="")
    assert isinstance(caught.value, TidingsError)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value in a JSON value; the path of a key ends with None."""
    paths = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            paths += [(*path, key, None), *_leaves(item, (*path, key))]
    return paths


def _plant(value: Any, path: tuple[Any, ...]) -> Any:
    """Put the secret in the place of a value or of a key."""
    if not path:
        return SECRET
    if path[1:] == (None,):
        return {SECRET if key == path[0] else key: item for key, item in value.items()}
    return {key: _plant(item, path[1:]) if key == path[0] else item for key, item in value.items()}


def _complaint(plane: str, payload: str) -> str:
    """Everything that is shown of the error, causes included; nothing where the payload can be read."""
    try:
        m.decode(plane, payload)
    except InvalidMessage as error:
        return "".join(traceback.format_exception(error))
    return ""


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(draw.KNOWN).flatmap(draw.of), st.data())
def test_errors_do_not_quote_the_message(message: m.Message[Any], drawn: st.DataObject) -> None:
    """Wherever a secret stands in place of a field, neither the error nor its causes show it."""
    wire = json.loads(m.encode(message))
    payload = json.dumps(_plant(wire, drawn.draw(st.sampled_from(_leaves(wire)))))
    assert SECRET not in _complaint(message.data.plane, payload)


def test_an_error_about_a_key_does_not_show_the_key() -> None:
    """Keys of the input are input; the place is still told by our own names."""
    with pytest.raises(InvalidMessage, match=r"waits\.\*\.reason") as caught:
        m.build(m.Picture, waits={SECRET: {"reason": [SECRET]}})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_an_explanation_is_one_short_line() -> None:
    """However much is wrong, the text fits a log line."""
    with pytest.raises(InvalidMessage) as caught:
        m.build(m.Picture, waits={str(number): {} for number in range(500)})
    assert len(str(caught.value)) < 1100
    assert "\n" not in str(caught.value)


async def test_as_stored_is_what_the_store_wrote(bus: Bus) -> None:
    """What a reader prints of a message is, byte for byte, what every other Redis client sees."""
    claim = await bus.worker.claim(m.WorkerRef(name="w"), session="demo", create=True)
    assert claim is not None
    message = m.Message.of(m.AgentMessage(text='a "quoted" é'), session="demo")
    (stored,) = await claim.append(message, after=0)
    log: Any = await bus._context.connection.commands.xrange(bus._context.names.log("events", "demo"))
    assert m.as_stored(stored).encode() == log[0][1][b"m"]


@pytest.mark.full
def test_nothing_is_kept_of_what_was_read() -> None:
    """A process that reads messages all day long does not grow with their ids, times and sessions."""

    def read(first: int, last: int) -> int:
        for number in range(first, last):
            data = {"reason": "rate_limit", "attempt": 1, "max_attempts": 6, "wait_s": 1.0, "message": f"text {number}"}
            body = {
                "specversion": "1.0",
                "id": f"id-{number}",
                "source": "worker/w",
                "type": "llm.retry",
                "subject": f"s-{number}",
            }
            m.decode_notice(json.dumps({**body, "time": "2026-11-23T00:34:27.630398Z", "data": data}))
        gc.collect()
        return sys.getallocatedblocks()

    before = read(0, 200)
    assert read(200, 2200) - before < 1000
