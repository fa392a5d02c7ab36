"""Dead letters in people's hands: found, understood, run again once, or put away."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import orjson
import pytest
from arq.jobs import Job

from jobs.kit import JobContext, Payload, PayloadError, Retry, job
from tests.worker.conftest import Ledgered, StartWorker
from tests.worker.testing_jobs import add_line, fail, ship_order
from worker.codec import loads
from worker.dead_letters import (
    DeadLetterError,
    attempts_of,
    discard,
    get_dead_letter,
    list_dead_letters,
    replay,
)
from worker.ending import State
from worker.engine.worker import Worker
from worker.enqueuer import Pool
from worker.ledger import write_attempts, write_dead_letters
from worker.message import correlation_id
from worker.records import AttemptRecord, DeadRecord

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
MakeLetter = Callable[..., Awaitable[int]]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Mended(Payload):
    repaired: Path


@job("testing_dead_letters.work_when_repaired", queue="default", retry=Retry(attempts=1))
async def work_when_repaired(ctx: JobContext, payload: Mended) -> dict[str, str | None]:
    """Fails until somebody has made the file."""
    payload.repaired.read_text()
    run = ctx.run
    return {"replay_of": run.replay_of, "cid": run.correlation_id, "key": run.key}


@pytest.fixture
def make_letter(db: Db) -> MakeLetter:
    """A dead letter, as the ledger writes one; returns its id."""

    async def make(
        *, payload: dict[str, Any] | None = None, raw: bytes | None = None, **changes: Any
    ) -> int:
        fields = {
            "run_id": uuid4().hex,
            "job": add_line.name,
            "queue": "default",
            "tenant_id": None,
            "label": None,
            "correlation_id": "request-1",
            "replay_of": None,
            "attempt": 3,
            "state": State.DEAD,
            "reason": "attempts_spent",
            "enqueued_at": NOW,
            "started_at": NOW + timedelta(minutes=1),
            "ended_at": NOW + timedelta(minutes=2),
            "worker": "host:1:x",
            "error_type": "ValueError",
            "error_message": "it went wrong",
            "traceback": "Traceback …",
        }
        last = AttemptRecord(**{**fields, **changes})
        event_id = f"{uuid4().hex}-0"
        letter = DeadRecord(last=last, payload=payload, raw=raw).to_bytes()
        await write_dead_letters(db, [(event_id, letter)])
        await write_attempts(db, [(event_id, last.to_bytes())])
        found = "select dead_letter_id from dead_letters where event_id = $1"
        return int(await db.fetchval(found, event_id))

    return make


# Finding and understanding


async def test_a_list_has_pages_newest_first(db: Db, make_letter: MakeLetter) -> None:
    ids = [await make_letter() for _ in range(5)]

    first = await list_dead_letters(db, limit=2)
    second = await list_dead_letters(db, limit=2, before=first[-1].dead_letter_id)
    third = await list_dead_letters(db, limit=2, before=second[-1].dead_letter_id)

    pages = [[letter.dead_letter_id for letter in page] for page in (first, second, third)]
    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "abc"),
        ({"queue": "email"}, "bc"),
        ({"job": ship_order.name}, "c"),
        ({"queue": "email", "job": "testing.add_line"}, "b"),
        ({"queue": "risk"}, ""),
        ({"status": "discarded"}, "d"),
        ({"status": "replayed"}, ""),
    ],
    ids=str,
)
async def test_a_list_can_be_narrowed(
    db: Db, make_letter: MakeLetter, wanted: dict[str, str], expected: str
) -> None:
    await make_letter(run_id="a")
    await make_letter(run_id="b", queue="email")
    await make_letter(run_id="c", queue="email", job=ship_order.name)
    await discard(db, await make_letter(run_id="d"), reason="no use")

    found = await list_dead_letters(db, **wanted)  # type: ignore[arg-type]  # no limit among them

    assert {letter.run_id for letter in found} == set(expected)


async def test_a_letter_says_what_was_asked_and_why_it_ended(
    db: Db, make_letter: MakeLetter
) -> None:
    tenant_id = uuid4()
    letter_id = await make_letter(run_id="a", payload={"x": [1, "ı"]}, tenant_id=tenant_id)

    letter = await get_dead_letter(db, letter_id)

    assert (letter.run_id, letter.job, letter.queue) == ("a", "testing.add_line", "default")
    assert (letter.payload, letter.tenant_id) == ({"x": [1, "ı"]}, tenant_id)
    assert (letter.reason, letter.error_type) == ("attempts_spent", "ValueError")
    assert (letter.error_message, letter.attempt) == ("it went wrong", 3)
    assert (letter.enqueued_at, letter.died_at) == (NOW, NOW + timedelta(minutes=2))
    assert (letter.status, letter.replayed_as) == ("dead", None)


async def test_the_attempts_of_a_run_come_oldest_first(
    worker: Worker, pool: Pool, db: Db, ledgered: Ledgered, diary: Path
) -> None:
    run = await pool.enqueue_job(fail.name, diary=str(diary))
    assert run is not None
    await ledgered.run(run.job_id, state="dead")

    attempts = await attempts_of(db, run.job_id)

    assert [(a.attempt, a.outcome) for a in attempts] == [
        (1, "retrying"),
        (2, "retrying"),
        (3, "dead"),
    ]
    assert [a.error_message for a in attempts] == [
        f"attempt {number} went wrong" for number in (1, 2, 3)
    ]
    assert all(a.started_at <= a.ended_at and a.worker == worker.worker_id for a in attempts)
    assert all("ValueError" in (a.traceback or "") for a in attempts)
    assert await attempts_of(db, "nobody") == []


async def test_a_letter_that_is_not_there_is_an_error(db: Db, pool: Pool) -> None:
    for refused in (
        get_dead_letter(db, 404),
        replay(db, pool, 404),
        discard(db, 404, reason="no use"),
    ):
        with pytest.raises(DeadLetterError, match="there is no dead letter 404"):
            await refused


# Replaying


async def test_a_replay_is_a_new_run_that_knows_what_it_replays(
    start_worker: StartWorker, pool: Pool, db: Db, ledgered: Ledgered, tmp_path: Path
) -> None:
    await start_worker()
    repaired, token = tmp_path / "repaired", correlation_id.set("request-9")
    run = await pool.enqueue_job(work_when_repaired.name, repaired=str(repaired))
    correlation_id.reset(token)
    assert run is not None
    letter_id = (await ledgered.dead_letter(run.job_id))["dead_letter_id"]
    repaired.write_text("yes")

    replayed_as = await replay(db, pool, letter_id)

    assert replayed_as != run.job_id
    result = await Job(replayed_as, pool, _deserializer=loads).result(timeout=10, poll_delay=0.02)
    assert result == {"replay_of": run.job_id, "cid": "request-9", "key": run.job_id}
    remembered = await ledgered.run(replayed_as, state="succeeded")
    assert (remembered["replay_of"], remembered["correlation_id"]) == (run.job_id, "request-9")


async def test_a_replayed_letter_is_marked_and_refused_a_second_time(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    letter_id = await make_letter(payload={"diary": "d"})

    run_id = await replay(db, pool, letter_id)

    letter = await get_dead_letter(db, letter_id)
    assert (letter.status, letter.replayed_as) == ("replayed", run_id)
    assert await list_dead_letters(db) == []
    for refused in (replay(db, pool, letter_id), discard(db, letter_id, reason="too late")):
        with pytest.raises(DeadLetterError, match="replayed or discarded before"):
            await refused
    assert await pool.zcard("arq:queue") == 1


async def test_a_replay_starts_with_all_its_attempts_and_the_checked_payload(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    # Written by an older version: one field too many, one with its default.
    letter_id = await make_letter(
        job="old-ship", queue="gone", payload={"order_id": "7", "old_field": 1}
    )

    run_id = await replay(db, pool, letter_id)

    written = orjson.loads(await pool.get(f"arq:job:{run_id}"))
    assert (written["f"], written["a"]) == (ship_order.name, [{"order_id": 7, "note": ""}])
    assert await pool.zrange("arq:queue:email", 0, -1) == [run_id.encode()]
    assert await pool.exists(f"arq:retry:{run_id}") == 0


async def test_a_replay_that_fails_again_is_a_new_letter(
    worker: Worker, pool: Pool, db: Db, ledgered: Ledgered, tmp_path: Path
) -> None:
    run = await pool.enqueue_job(work_when_repaired.name, repaired=str(tmp_path / "never"))
    assert run is not None
    first = (await ledgered.dead_letter(run.job_id))["dead_letter_id"]

    second = await ledgered.dead_letter(await replay(db, pool, first))
    third = await ledgered.dead_letter(await replay(db, pool, second["dead_letter_id"]))

    assert len({run.job_id, second["run_id"], third["run_id"]}) == 3
    assert (await get_dead_letter(db, third["dead_letter_id"])).status == "dead"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"payload": None, "raw": b"\x80"}, "its payload could not be read"),
        ({"payload": {}, "job": "testing.of_yesterday"}, "its job is unknown"),
    ],
)
async def test_what_cannot_run_is_refused_and_stays(
    db: Db, pool: Pool, make_letter: MakeLetter, changes: dict[str, Any], why: str
) -> None:
    letter_id = await make_letter(**changes)

    with pytest.raises(DeadLetterError, match=why):
        await replay(db, pool, letter_id)

    assert (await get_dead_letter(db, letter_id)).status == "dead"
    assert await pool.keys() == []


async def test_a_payload_that_still_does_not_fit_is_refused_and_stays(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    letter_id = await make_letter(job=ship_order.name, payload={"order_id": "x"})

    with pytest.raises(PayloadError, match="order_id"):
        await replay(db, pool, letter_id)

    assert (await get_dead_letter(db, letter_id)).status == "dead"


async def test_a_replay_that_broke_off_before_its_commit_does_not_run_twice(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    letter_id = await make_letter(payload={"diary": "d"})
    first = await replay(db, pool, letter_id)
    # The enqueue happened, its transaction did not.
    await db.execute("update dead_letters set status = 'dead', replayed_as = null")

    second = await replay(db, pool, letter_id)

    assert first == second
    assert await pool.zrange("arq:queue", 0, -1) == [first.encode()]
    assert (await get_dead_letter(db, letter_id)).replayed_as == first


async def test_a_replay_that_redis_did_not_take_leaves_the_letter_as_it_was(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    letter_id = await make_letter(payload={"diary": "d"})
    await pool.set("arq:queue", "not a queue")

    with pytest.raises(Exception, match="WRONGTYPE"):
        await replay(db, pool, letter_id)

    assert (await get_dead_letter(db, letter_id)).status == "dead"


# Putting away


async def test_a_discarded_letter_keeps_the_reason_and_is_handled_for_good(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    letter_id = await make_letter(payload={"diary": "d"})

    await discard(db, letter_id, reason="the customer left")

    letter = await get_dead_letter(db, letter_id)
    assert (letter.status, letter.discarded_because) == ("discarded", "the customer left")
    for refused in (replay(db, pool, letter_id), discard(db, letter_id, reason="again")):
        with pytest.raises(DeadLetterError, match="replayed or discarded before"):
            await refused
    assert await pool.keys() == []
    assert (await get_dead_letter(db, letter_id)).discarded_because == "the customer left"
