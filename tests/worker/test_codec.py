"""Bytes in Redis come from anybody: what is ours comes back whole, what is not is refused."""

import asyncio
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from arq.jobs import deserialize_job, deserialize_result, serialize_job, serialize_result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from typing_extensions import override

from jobs.kit import Payload
from worker.codec import (
    JobFailedError,
    JobMessage,
    UndecodableError,
    cancelled_result,
    decode_job,
    dumps,
    error_result,
    loads,
)

TEXT = st.text(st.characters(codec="utf-8"))
INTEGERS = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | TEXT
FINITE = st.none() | st.booleans() | INTEGERS | TEXT | st.floats(-1e300, 1e300)
PLAIN = st.recursive(
    FINITE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
INSTANTS = st.datetimes(timezones=st.just(UTC))
MOMENT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ET = 1_772_368_200_000
UNIT = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


# A busy machine is no failure.
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Invoice(Payload):
    invoice_id: UUID
    total: Decimal
    due_at: datetime


@dataclass(frozen=True)
class Point:
    x: int


def message(**changes: Any) -> dict[str, Any]:
    return {"t": None, "f": "email.send", "a": [{"x": 1}], "k": {}, "et": ET, **changes}


def encoded(**changes: Any) -> bytes:
    return orjson.dumps(message(**changes))


# Round trips


@patiently
@given(st.dictionaries(TEXT, PLAIN, max_size=5))
def test_what_json_can_carry_comes_back_as_it_was(arguments: dict[str, Any]) -> None:
    raw = dumps(message(a=[arguments]))

    assert decode_job(raw).arguments == arguments
    assert loads(raw)["a"] == [arguments]


@patiently
@given(st.dictionaries(st.sampled_from("abc"), PLAIN), st.integers(0, 253_402_300_799_000))
def test_a_job_is_read_however_the_stock_pool_wrote_it(
    arguments: dict[str, Any], enqueued_ms: int
) -> None:
    positional = serialize_job("f.g", (arguments,), {}, None, enqueued_ms, serializer=dumps)
    keywords = serialize_job("f.g", (), arguments, 3, enqueued_ms, serializer=dumps)

    instant = datetime.fromtimestamp(enqueued_ms / 1000, UTC)
    expected = JobMessage(function="f.g", arguments=arguments, enqueued_at=instant)
    assert decode_job(positional) == decode_job(keywords) == expected


@patiently
@given(st.uuids(), st.decimals(allow_nan=False, allow_infinity=False), INSTANTS)
def test_ids_money_and_instants_come_back_through_the_model(
    invoice_id: UUID, total: Decimal, due_at: datetime
) -> None:
    raw = dumps(message(a=[{"invoice_id": invoice_id, "total": total, "due_at": due_at}]))

    invoice = Invoice.model_validate(decode_job(raw).arguments)

    assert invoice == Invoice(invoice_id=invoice_id, total=total, due_at=due_at)
    assert invoice.total.as_tuple() == total.as_tuple()


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        (UNIT, str(UNIT)),
        (Decimal("10.00"), "10.00"),
        (MOMENT, "2026-03-01T12:30:00Z"),
        (date(2026, 3, 1), "2026-03-01"),
        (timedelta(minutes=1), "PT1M"),
        (Point(3), {"x": 3}),
        (Invoice(invoice_id=UNIT, total=Decimal(1), due_at=MOMENT), None),
        ((1, 2), [1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_of_python_objects_becomes_json(value: Any, carried: Any) -> None:
    expected = carried or {
        "invoice_id": str(UNIT),
        "total": "1",
        "due_at": "2026-03-01T12:30:00Z",
    }

    assert loads(dumps({"r": value}))["r"] == expected


@pytest.mark.parametrize("value", [object(), "\ud800", 2**70, {"x": {1: object()}}])
def test_what_is_not_json_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="not JSON"):
        dumps({"r": value})


@patiently
@given(st.dictionaries(TEXT, TEXT.map(lambda text: text[:200]), max_size=4))
def test_headers_come_back(headers: dict[str, str]) -> None:
    raw = dumps(message(h=headers))

    assert decode_job(raw).headers == headers
    assert deserialize_job(raw, deserializer=loads).function == "email.send"


def test_foreign_headers_are_left_out() -> None:
    strange = {"cid": "c", "long": "x" * 201, "number": 1, "nested": {}}

    assert decode_job(encoded(h=strange)).headers == {"cid": "c"}
    assert decode_job(encoded(h="text")).headers == decode_job(encoded()).headers == {}


# Failures cross JSON (D33)


def stored(result: Any, *, success: bool) -> bytes:
    raw = serialize_result(
        "f", (), {}, 1, ET, success, result, ET, ET, "ref", "arq:queue", "id", serializer=dumps
    )
    assert raw is not None
    return raw


@patiently
@given(TEXT)
def test_an_exception_comes_back_as_one_that_names_it(text: str) -> None:
    found = deserialize_result(stored(ValueError(text), success=False), deserializer=loads)

    assert not found.success
    assert isinstance(found.result, JobFailedError)
    assert (found.result.error_type, found.result.message) == ("ValueError", text)
    assert str(found.result) == f"ValueError: {text}"


@pytest.mark.parametrize(
    "result", [asyncio.CancelledError("paid already"), cancelled_result("paid already")]
)
def test_a_cancellation_comes_back_as_one(result: Any) -> None:
    found = deserialize_result(stored(result, success=False), deserializer=loads)

    assert isinstance(found.result, asyncio.CancelledError)
    assert found.result.args == ("paid already",)


def test_an_exception_that_pickle_could_not_load_comes_back() -> None:
    class TwoArgumentsError(Exception):
        def __init__(self, code: int, why: str) -> None:
            super().__init__(f"{code}: {why}")

    found = loads(dumps({"s": False, "r": TwoArgumentsError(7, "why")}))["r"]

    assert (found.error_type, found.message) == ("TwoArgumentsError", "7: why")
    assert error_result(TwoArgumentsError(7, "why"))["$error"] == "TwoArgumentsError"


# Hostile bytes


@patiently
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_job_or_undecodable(raw: bytes, accept: bool) -> None:  # noqa: FBT001 - drawn
    assert is_job_or_refused(raw, accept_pickle=accept)


JSON = st.recursive(
    SCALARS.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


@patiently
@given(JSON)
def test_any_json_is_a_job_or_undecodable(value: Any) -> None:
    assert is_job_or_refused(orjson.dumps(value))


@patiently
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["f", "a", "k", "et", "h"], JSON)))
def test_any_json_in_the_fields_of_a_job_is_one_or_undecodable(fields: dict[str, Any]) -> None:
    assert is_job_or_refused(orjson.dumps(message(**fields)))


PICKLABLE = st.recursive(
    SCALARS | st.binary(max_size=8) | INSTANTS | st.decimals() | st.uuids() | st.timedeltas(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXT | INTEGERS, inner, max_size=3)
    ),
    max_leaves=8,
)


@patiently
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["f", "a", "k", "h"], PICKLABLE)))
def test_any_builtins_in_a_pickle_are_a_job_or_undecodable(fields: dict[str, Any]) -> None:
    assert is_job_or_refused(pickle.dumps(message(**fields)), accept_pickle=True)


@patiently
@given(st.binary(max_size=6), st.integers(0, 120), st.integers(0, 6))
def test_a_damaged_pickle_is_a_job_or_undecodable(junk: bytes, at: int, cut: int) -> None:
    raw = pickle.dumps(message(a=[{"x": UNIT, "y": MOMENT, "z": {1, 2}}]))

    assert is_job_or_refused(raw[: at + 2] + junk + raw[at + 2 + cut :], accept_pickle=True)


def is_job_or_refused(raw: bytes, *, accept_pickle: bool = False) -> bool:
    """Anything else that is raised fails the test."""
    try:
        return isinstance(decode_job(raw, accept_pickle=accept_pickle), JobMessage)
    except UndecodableError as error:
        return bool(str(error))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no ARQ job"),
        (b"{}", "no ARQ job: KeyError 'f'"),
        (encoded(et=None), "no ARQ job"),
        (encoded(et=2**62), "no ARQ job"),
        (encoded(et=1e20), "no ARQ job"),
        (encoded(a=[1]), "1 positional and 0 keyword"),
        (encoded(a=[{}, {}]), "2 positional and 0 keyword"),
        (encoded(a=[{}], k={"x": 1}), "1 positional and 1 keyword"),
        (encoded(a="x"), "one payload"),
        (encoded(a=None, k=5), "no ARQ job"),
    ],
)
def test_the_refusal_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(UndecodableError, match=why):
        decode_job(raw)


# Pickle


def test_a_pickle_is_refused_with_the_way_out() -> None:
    with pytest.raises(UndecodableError, match=r"job_serializer=worker\.codec\.dumps"):
        decode_job(pickle.dumps(message()))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_the_restricted_reader_reads_builtins_of_every_protocol(protocol: int) -> None:
    arguments = {"a": [1, 2.5, None, True, "ı"], "b": {"c": (1, 2)}}

    found = decode_job(pickle.dumps(message(a=(arguments,)), protocol), accept_pickle=True)

    assert found.arguments == orjson.loads(orjson.dumps(arguments))
    assert (found.function, found.enqueued_at) == ("email.send", MOMENT)


@pytest.mark.parametrize(
    "value",
    [MOMENT, MOMENT.date(), time(7, 30), timedelta(days=1), Decimal("1.10"), UNIT, {1}, b"\x00"],
    ids=lambda value: type(value).__name__,
)
def test_the_restricted_reader_makes_json_of_dates_money_and_ids(value: Any) -> None:
    raw = pickle.dumps(message(a=({"x": value},)))

    arguments = decode_job(raw, accept_pickle=True).arguments

    assert arguments == orjson.loads(dumps({"x": value}))
    assert TypeAdapter(type(value)).validate_python(arguments["x"]) == value


class Calls:
    """Pickles as a call of `function`: what an attacker would write."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    @override
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


CALLED: list[str] = []


@pytest.mark.parametrize(
    "hostile",
    [
        Calls(eval, "CALLED.append('eval')"),
        Calls(exec, "raise SystemExit"),
        Calls(CALLED.append, "a method"),
        Calls(getattr, datetime, "now"),
        Calls(print, "hello"),
        Point(1),
        TypeAdapter,
        ValueError("x"),
    ],
    ids=["eval", "exec", "method", "getattr", "print", "dataclass", "class", "error"],
)
def test_the_restricted_reader_calls_nothing_else(hostile: Any) -> None:
    for raw in (pickle.dumps(message(a=({"x": hostile},))), pickle.dumps(hostile)):
        with pytest.raises(UndecodableError, match=r"not plain builtins: .* is not a builtin"):
            decode_job(raw, accept_pickle=True)

    assert CALLED == []


def test_a_pickle_that_reaches_into_an_allowed_type_is_refused() -> None:
    # STACK_GLOBAL "datetime" "datetime.__subclasses__": a dotted name walks attributes.
    raw = b"\x80\x04\x8c\x08datetime\x8c\x17datetime.__subclasses__\x93)R."

    with pytest.raises(UndecodableError, match="is not a builtin"):
        decode_job(raw, accept_pickle=True)


@pytest.mark.parametrize("value", [[1], None, 5])
def test_a_pickle_of_something_else_is_no_job(value: Any) -> None:
    with pytest.raises(UndecodableError, match="holds no dict"):
        decode_job(pickle.dumps(value), accept_pickle=True)
