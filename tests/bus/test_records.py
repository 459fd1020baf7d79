"""The session record as Redis keeps it."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import strategies as draw
from tidings.bus import messages as m
from tidings.bus.errors import InvalidMessage, SchemaMismatch, UnreadableRecord
from tidings.bus.records import LAST_MS, SCHEMA, Record, instant, milliseconds, parse_record, salvage_record
from tidings.bus.redis import scripts
from tidings.bus.states import HELD, State

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = "sk-Live-9fQ2xZ71-planted"

NUMBERS = (
    "version",
    "token",
    "nudge",
    "parks",
    "losses",
    "pending",
    "said",
    "status",
    "events",
    "commands",
    "handled",
    "touched",
    "failures",
)
TIMES = ("since", "lease_until", "resume_at")
OTHERS = ("state", "reason", "worker", "picture", "last")

moments = st.integers(min_value=0, max_value=LAST_MS - 1).map(instant)
notices = st.sampled_from(draw.NOTICES).flatmap(draw.of)


def _raw(**fields: str) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in {"epoch": "e1", "schema": str(SCHEMA), **fields}.items()}


def _record(**fields: str) -> Record:
    record = parse_record("demo", _raw(**fields))
    assert record is not None
    return record


def _fields(record: Record) -> dict[bytes, bytes]:
    """The hash that a record is read from."""
    text = {name: str(int(getattr(record, name))) for name in NUMBERS}
    text |= {name: milliseconds(getattr(record, name)) for name in TIMES}
    text |= {
        "epoch": record.epoch,
        "schema": str(record.schema),
        "lease": record.lease,
        "why": record.why,
        "paused_by": record.paused_by or "",
    }
    text |= {"state": record.state or "", "reason": record.reason or ""}
    text |= {"worker": record.worker.model_dump_json() if record.worker else ""}
    text |= {"picture": record.picture.model_dump_json()}
    fields = {name.encode(): value.encode() for name, value in text.items()}
    return fields | {b"last": m.encode(record.last) if record.last else b""}


records = st.builds(
    Record,
    session=draw.sessions,
    state=st.none() | draw.states,
    epoch=draw.epochs,
    why=draw.texts,
    reason=st.none() | draw.reasons,
    worker=st.none() | draw.workers,
    picture=draw.pictures,
    paused_by=st.none() | draw.words,
    pending=st.booleans(),
    last=st.none() | notices,
    **{name: st.none() | moments for name in TIMES},
    **{name: draw.counts for name in NUMBERS if name != "pending"},
)


@settings(max_examples=60)
@given(records)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    """Every field comes back, times to the millisecond."""
    assert parse_record(record.session, _fields(record)) == record


def test_no_hash_is_no_record() -> None:
    """Where there is no hash there is no session; one without an epoch is one that cannot be read."""
    assert parse_record("demo", {}) is None
    with pytest.raises(UnreadableRecord, match="epoch: missing"):
        parse_record("demo", {b"schema": str(SCHEMA).encode(), b"status": b"3"})


def test_a_new_record_has_its_epoch_and_nothing_else() -> None:
    """While a start waits for its controller there is no state yet."""
    assert _record() == Record(session="demo", state=None, epoch="e1")


def test_empty_fields_are_none() -> None:
    """The scripts clear a field by writing nothing into it."""
    names = (*NUMBERS, *TIMES, *OTHERS, "why", "paused_by")
    assert _record(**dict.fromkeys(names, "")) == _record()


def test_fields_that_are_not_known_are_left_out() -> None:
    """A newer version may keep more in the record."""
    assert _record(colour="blue") == _record()


def test_a_reason_of_a_newer_version_is_unknown() -> None:
    """The record can be read all the same."""
    assert _record(reason="solar_flare").reason is m.Reason.UNKNOWN


def test_of_a_broken_record_the_rest_is_salvaged() -> None:
    """What cannot be read is as if it were not there."""
    broken = {b"epoch": b"e1", b"state": b"dreaming", b"version": b"x", b"why": b"so", b"events": b"7"}
    with pytest.raises(UnreadableRecord):
        parse_record("demo", broken)
    record = salvage_record("demo", broken)
    assert (record.epoch, record.state, record.version, record.why, record.events) == ("e1", None, 0, "so", 7)


def test_a_record_of_another_schema_is_not_an_unreadable_one() -> None:
    """The error says what to do about it."""
    with pytest.raises(SchemaMismatch):
        _record(schema=str(SCHEMA + 1))


@pytest.mark.parametrize("schema", ["", "x", "-1", "0", "1.5", "9" * 30])
def test_a_schema_that_is_none_is_told(schema: str) -> None:
    """Such a record cannot be read, so it can be deleted; the value is not quoted."""
    with pytest.raises(UnreadableRecord, match=r"schema: (not a number above 0|missing)"):
        _record(schema=schema)


def test_the_scripts_have_the_same_schema() -> None:
    """Python and Lua cannot drift apart."""
    assert f"\nlocal SCHEMA = {SCHEMA}\n" in scripts.source("claim")


def test_records_do_not_share_their_picture() -> None:
    """Two sessions without a picture have one each."""
    assert _record().picture.waits is not _record().picture.waits


# what cannot be read


UNREADABLE = [(name, SECRET) for name in (*NUMBERS, *TIMES, *OTHERS) if name != "reason"] + [
    ("worker", f'{{"{SECRET}":"{SECRET}"}}'),
    ("worker", f'{{"name":"{SECRET * 9}"}}'),
    ("picture", f'{{"waits":{{"{SECRET}":"{SECRET}"}}}}'),
    ("last", f'{{"type":"llm.retry","data":"{SECRET}"}}'),
    ("last", f'{{"{SECRET}":"{SECRET}"}}'),
]


@pytest.mark.parametrize(("name", "value"), UNREADABLE)
def test_a_field_that_cannot_be_read_is_named_and_not_quoted(name: str, value: str) -> None:
    """The error says which field of which session, and does not show what stood there; nor do its causes."""
    with pytest.raises(InvalidMessage, match=f"record of session 'demo' cannot be read: {name}: ") as caught:
        _record(**{name: value})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", ["9" * 15, "9" * 30, "9" * 400, "9" * 5000, "-" + "9" * 15, "nan", "1.5"])
def test_a_time_that_no_calendar_has_is_a_typed_error(name: str, value: str) -> None:
    """Overflow, wherever it happens, is a field that cannot be read."""
    with pytest.raises(InvalidMessage, match=name):
        _record(**{name: value})


@pytest.mark.parametrize("name", [*NUMBERS, *TIMES, *OTHERS, "why", "paused_by", "epoch"])
def test_bytes_that_are_no_text_are_a_typed_error(name: str) -> None:
    """What is not UTF-8 cannot be read either."""
    with pytest.raises(InvalidMessage, match=name):
        parse_record("demo", _raw() | {name.encode(): b"\xff\xfe"})


@given(st.dictionaries(st.sampled_from([*NUMBERS, *TIMES, *OTHERS]).map(str.encode), st.binary() | draw.texts.map(str.encode)))
def test_garbage_is_read_or_refused(fields: dict[bytes, bytes]) -> None:
    """Whatever stands in the hash, the reader gets a record or the one typed error."""
    try:
        assert isinstance(parse_record("demo", _raw() | fields), Record)
    except InvalidMessage as error:
        told = str(error)
        assert "cannot be read" in told


# what a record says


def test_who_holds_a_session() -> None:
    """A worker holds it while one is named; rate limited without one it is parked."""
    worker = m.WorkerRef(name="w1").model_dump_json()
    assert _record(state="running", worker=worker).held
    assert not _record(state="queued").held
    assert _record(state="rate_limited").parked
    assert not _record(state="rate_limited", worker=worker).parked
    assert not _record(state="queued").parked


@pytest.mark.parametrize("state", State)
def test_a_wait_is_shown_only_while_the_state_is_one_of_waiting(state: State) -> None:
    """What is left of an old picture is not shown once the session has moved on."""
    wait = m.Wait(reason=m.Reason.RATE_LIMIT, attempt=2, retry_at=NOON)
    record = _record(state=state, picture=m.Picture(waits={"agent": wait}).model_dump_json())
    expected = wait if state in (State.RETRYING, State.RATE_LIMITED) else None
    assert record.wait == expected


# the picture that late subscribers get


@settings(max_examples=60)
@given(records)
def test_the_picture_stands_at_the_newest_status_offset(record: Record) -> None:
    """Who goes on from it misses nothing and sees nothing twice; it travels like any notice."""
    notice = record.as_notice(NOON)
    if record.state is None or record.status < 1:
        assert notice is None
        return
    assert notice is not None
    assert (notice.session, notice.epoch, notice.offset) == (record.session, record.epoch, record.status)
    drawn = record.held and record.state in HELD
    lasting = record.picture.wait_at(NOON)
    state = (lasting.state if lasting else State.RUNNING) if drawn else record.state
    assert (notice.data.from_, notice.data.to) == (state, state)
    entered = (record.last.time if record.last else NOON) if drawn and state is not record.state else record.since or NOON
    assert (notice.time, notice.data.worker) == (entered, record.worker)
    assert notice.data.wait == (lasting if drawn and lasting else notice.data.wait if drawn else record.wait)
    assert m.decode_notice(notice.model_dump_json(by_alias=True)) == notice


@pytest.mark.parametrize("state", sorted(HELD))
def test_who_comes_late_sees_what_the_worker_has_told(state: State) -> None:
    """A worker's notice moves the state before a controller does, and is not told again: the picture says it already."""
    worker, later = m.WorkerRef(name="w1").model_dump_json(), NOON + timedelta(seconds=9)
    wait = m.Wait(reason=m.Reason.RATE_LIMIT, attempt=2, retry_at=later)
    for shown, to, kept in (
        (wait, State.RATE_LIMITED, wait),
        (wait.model_copy(update={"retry_at": NOON}), State.RUNNING, None),
        (asked := wait.model_copy(update={"asked_at": NOON}), State.RUNNING, asked),
    ):
        picture = m.Picture(waits={"agent": shown}).model_dump_json()
        notice = _record(state=state, status="3", worker=worker, picture=picture).as_notice(NOON)
        assert notice is not None
        assert (notice.data.to, notice.data.wait) == (to, kept)


@pytest.mark.parametrize("state", State)
def test_who_comes_late_sees_what_the_agent_does(state: State) -> None:
    """While a worker holds the session, in a wait as well; what is left in an old picture is not shown."""
    worker = m.WorkerRef(name="w1").model_dump_json()
    progress = m.Progress(doing="compiling", done=3, total=8)
    fields = {"state": state, "status": "3", "picture": m.Picture(progress=progress).model_dump_json()}
    for held in (True, False):
        notice = _record(**fields, worker=worker if held else "").as_notice(NOON)
        assert notice is not None
        assert notice.data.progress == (progress if held and state in HELD else None)


def test_a_session_that_nothing_was_told_of_has_no_picture() -> None:
    """Before the first notice there is no offset to stand at, and without a state there is nothing to draw."""
    assert _record(state="running", status="0").as_notice(NOON) is None
    assert _record(status="1").as_notice(NOON) is None


def test_two_pictures_of_the_same_moment_are_one_message() -> None:
    """Drawing twice gives the same id; whatever is new gives another."""
    record = _record(state="running", status="3", version="2")
    one, two = record.as_notice(NOON), record.as_notice(NOON + timedelta(seconds=9))
    later = _record(state="running", status="4", version="2").as_notice(NOON)
    assert one is not None
    assert two is not None
    assert later is not None
    assert one.id == two.id != later.id


def test_the_picture_says_who_paused() -> None:
    """`by` is told while the session is paused and not after."""
    paused = _record(state="paused", paused_by="ann", status="1").as_notice(NOON)
    resumed = _record(state="queued", paused_by="ann", status="1").as_notice(NOON)
    assert paused is not None
    assert resumed is not None
    assert (paused.data.by, resumed.data.by) == ("ann", None)


def test_the_picture_has_the_reason_of_its_wait() -> None:
    """A record without a reason of its own shows that of the wait."""
    picture = m.Picture(waits={"agent": m.Wait(reason=m.Reason.TIMEOUT)}).model_dump_json()
    drawn = _record(state="retrying", picture=picture, status="1").as_notice(NOON)
    failed = _record(state="error", reason="auth", picture=picture, status="1").as_notice(NOON)
    assert drawn is not None
    assert failed is not None
    assert (drawn.data.reason, failed.data.reason) == (m.Reason.TIMEOUT, m.Reason.AUTH)


# times as Redis keeps them


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_times_survive_to_the_millisecond(count: int) -> None:
    """Whole milliseconds since 1970 come back as the same number."""
    when = instant(count)
    assert when.tzinfo is UTC
    assert milliseconds(when) == str(count)


def test_times_of_other_zones_are_the_same_moment() -> None:
    """A zone is a way of writing; no time at all is an empty field."""
    assert milliseconds(NOON.astimezone(timezone(timedelta(hours=5)))) == milliseconds(NOON)
    assert milliseconds(None) == ""
