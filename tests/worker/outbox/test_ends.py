"""How the ledger learns which rows are done: from the records of runs that are over."""

from typing import Any

import pytest

from jobs.kit import QUEUES
from tests.worker.ledger.records import attempt, ended, put_together
from tests.worker.outbox.conftest import Db, Rows
from tests.worker.outbox.test_relay import LINE, promise
from worker.codec import decode_job
from worker.ending import State
from worker.engine.claims import Claim
from worker.enqueuer import Pool
from worker.ledger import Ledger
from worker.ledger.sieve import Sieve
from worker.message import NOW, message
from worker.records import AttemptRecord, outbox_row_of, success_bytes


def success(**headers: str) -> bytes:
    head, tail = message(LINE, NOW, {"cid": "c", **headers})
    raw = head + b'{"note": "\\"outbox\\":7"}' + tail
    claim = Claim("a" * 32, QUEUES["default"], "token", raw, 0, 0, 0, "epoch", is_first=True)
    return success_bytes(
        claim, decode_job(raw), started=1, ended=2, worker="w", sensitive=frozenset()
    )


def seen(*records: bytes) -> set[int]:
    sieve = Sieve(keep_completed=1)
    sieve.add("1-1", {b"=%d" % at: raw for at, raw in enumerate(records)})
    return sieve.done


def test_a_success_names_its_row_and_others_name_none() -> None:
    assert seen(success(outbox="42"), success(), success(outbox="43", label="x")) == {42, 43}
    assert AttemptRecord.from_bytes(success(outbox="42")).outbox == 42
    assert AttemptRecord.from_bytes(success()).outbox is None


@pytest.mark.parametrize("foreign", ["", "-1", "1.5", "x", "٣", "0", "9" * 30])
def test_a_header_that_is_no_row_names_none(foreign: str) -> None:
    assert seen(success(outbox=foreign)) == set()


@pytest.mark.parametrize("state", list(State))
def test_a_run_that_comes_back_keeps_its_row(state: State) -> None:
    record = attempt(state=state, outbox=42).to_bytes()

    assert seen(record) == ({42} if state.is_final else set())


@pytest.mark.parametrize("foreign", [b"{", b'{"outbox":42}', b'{"outbox":"42","state":"dead"}'])
def test_a_record_that_cannot_be_read_names_none(foreign: bytes) -> None:
    assert outbox_row_of(foreign) is None


@pytest.mark.parametrize("keep_completed", [0, 100])
async def test_rows_go_whether_or_not_history_keeps_their_runs(
    pool: Pool, db: Db, rows: Rows, keep_completed: int
) -> None:
    for _ in range(3):
        await promise(db)
    first, second, third = [row["outbox_id"] for row in await rows.all()]
    records: dict[str, dict[str, Any]] = {
        "a": {"outbox": first},
        "b": {"outbox": second, "state": State.RETRYING},
        "c": {"outbox": third, "state": State.DEAD, "reason": "rejected"},
    }
    await put_together(pool, ended(*(attempt(key, **one) for key, one in records.items())))

    await Ledger(pool, db, keep_completed=keep_completed).drain()

    assert (await rows.one())["outbox_id"] == second
