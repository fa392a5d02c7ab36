"""What history keeps of a payload: all that can be searched, nothing that may not be seen."""

from collections.abc import Set as AbstractSet
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kit import QUEUES
from tests.worker.ledger.records import attempt
from worker.codec import decode_job
from worker.ending import Ending, State
from worker.engine.claims import Claim
from worker.kept_payload import CUT, LIMIT, is_whole, kept_payload, without_personal
from worker.ledger.sieve import Sieve
from worker.message import NOW, message
from worker.records import AttemptRecord, DeadRecord, attempt_record, success_bytes
from worker.telemetry.redaction import MASK

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=300),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)
payloads = st.dictionaries(st.text(), json)


def kept(payload: dict[str, Any], sensitive: AbstractSet[str] = frozenset()) -> Any:
    text = kept_payload(payload, sensitive)
    assert text is not None
    assert len(text.encode()) <= LIMIT
    return orjson.loads(text)


def success(payload: dict[str, Any], sensitive: AbstractSet[str] = frozenset()) -> bytes:
    """The record of a first attempt at a run that came through the outbox."""
    head, tail = message("testing.add_line", NOW, {"cid": "c", "outbox": "42"})
    raw = head + orjson.dumps(payload) + tail
    claim = Claim("a" * 32, QUEUES["default"], "token", raw, 0, 0, 0, "epoch", is_first=True)
    return success_bytes(
        claim, decode_job(raw), started=1, ended=2, worker="w", sensitive=sensitive
    )


@given(payloads)
def test_a_payload_is_kept_as_it_is_up_to_its_limit(payload: dict[str, Any]) -> None:
    read = kept(payload)

    is_small = len(orjson.dumps(payload)) <= LIMIT
    assert read == payload if is_small else CUT in read


def test_of_a_large_payload_its_ids_are_kept() -> None:
    payload = {"rows": ["x" * 100] * 100, "tenant_id": "t", "note": "n" * 5000, "step": 3}

    assert kept(payload) == {"tenant_id": "t", "step": 3, CUT: "[2 more]"}
    assert not is_whole(kept(payload))


def test_of_many_fields_some_are_kept() -> None:
    payload = {f"field-{n}": n for n in range(10_000)}

    assert set(kept(payload)) <= {*payload, CUT}


def test_a_sensitive_field_is_masked_in_whatever_record() -> None:
    payload = {"email": "ada@example.com", "phone": None, "step": 1}
    sensitive = frozenset({"email", "phone", "other"})
    head, tail = message("testing.add_line", NOW, {"cid": "c"})
    raw = head + orjson.dumps(payload) + tail
    claim = Claim("a", QUEUES["default"], "token", raw, 0, 0, 0, "epoch")
    times: Any = {"started": 1, "ended": 2, "worker": "w", "sensitive": sensitive}

    records = [success(payload, sensitive)] + [
        attempt_record(claim, decode_job(raw), Ending(state=state), **times).to_bytes()
        for state in State
    ]

    masked = {"email": MASK, "phone": None, "step": 1}
    texts = [AttemptRecord.from_bytes(record).payload for record in records]
    assert [orjson.loads(text or "") for text in texts] == [masked] * len(records)
    assert not any(b"ada@" in record for record in records)
    assert not is_whole(masked)


def test_of_an_unknown_job_nobody_knows_what_is_sensitive() -> None:
    head, tail = message("testing.nobody_knows", NOW, {"cid": "c"})
    raw = head + b'{"email":"ada@example.com"}' + tail
    claim = Claim("a", QUEUES["default"], "token", raw, 0, 0, 0, "epoch")
    ending = Ending(state=State.RELEASED)

    record = attempt_record(
        claim, decode_job(raw), ending, started=1, ended=2, worker="w", sensitive=None
    )

    assert record.payload is None


def test_what_a_job_did_to_its_payload_does_not_keep_its_end_from_being_told() -> None:
    assert kept_payload({"x": object()}, frozenset()) is None


@pytest.mark.parametrize(
    "text",
    [
        '"state":"succeeded","is_first":true',
        '{"state":"succeeded","is_first":true}',
        '","queue":"email","x":"',
        '"outbox":7',
        '\\","outbox":7,"x":"',
    ],
)
def test_no_payload_is_taken_for_a_field_of_its_record(text: str) -> None:
    """The ledger tells records apart by their bytes."""
    nested = {"note": text, "state": "succeeded", "is_first": True, "queue": "email", "outbox": 7}
    failed = attempt(state=State.RETRYING, payload=kept_payload(nested, frozenset()))
    sieve = Sieve(keep_completed=0)

    sieve.add("1-1", {b"=1": success(nested), b"=2": failed.to_bytes()})

    # Of successes none is kept, so one that looks like a first one would be gone.
    assert sieve.kept() == [("1-1:1", failed.to_bytes())]
    assert sieve.done == {42}
    assert AttemptRecord.from_bytes(success(nested)).queue == "default"


def test_a_dead_letter_carries_its_payload_once() -> None:
    last = attempt(state=State.DEAD, payload='{"needle": 1}')

    record = DeadRecord(last=last, payload={"needle": 1}, raw=None).to_bytes()

    assert record.count(b"needle") == 1
    assert DeadRecord.from_bytes(record).payload == {"needle": 1}


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ({"note": "call ada@x.example"}, {"note": "call [email]", CUT: "[some masked]"}),
        (
            {"a": [{"phone": "+905321112233"}]},
            {"a": [{"phone": "[redacted]"}], CUT: "[some masked]"},
        ),
        ({"invoice_id": 7, "name": "Ayşe"}, None),
    ],
)
def test_what_looks_personal_is_masked_for_who_searches(
    payload: dict[str, Any], shown: dict[str, Any] | None
) -> None:
    kept = orjson.dumps(payload).decode()

    masked = without_personal(kept)

    assert orjson.loads(masked) == (payload if shown is None else shown)
    assert is_whole(orjson.loads(masked)) == (shown is None)


def test_what_is_no_json_stays_as_it_is() -> None:
    assert without_personal("{") == "{"
