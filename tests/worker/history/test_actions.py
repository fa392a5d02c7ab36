"""Cancelling, promoting, retrying and deleting one run, beside workers that run it."""

import asyncio
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from jobs.kit import PayloadError
from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, Ledgered, StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd
from tests.worker.history.conftest import Remember
from tests.worker.history.jobs import with_a_secret
from worker.cancelling import Cancelled
from worker.dead_letters import discard, list_dead_letters
from worker.ending import State
from worker.enqueuer import Pool
from worker.history import (
    Retried,
    RunError,
    cancel,
    delete,
    get_run,
    list_live,
    list_runs,
    promote,
    retry,
)
from worker.kept_payload import CUT
from worker.message import When
from worker.outbox import enqueue_in
from worker.telemetry.redaction import MASK

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
LATER = When(wait_ms=3_600_000)


async def later(pool: Pool, step: int = 1, **options: Any) -> str:
    return (await pool.enqueue(with_a_secret, {"step": step}, when=LATER, **options)).run_id


async def has_run(db: Db, pool: Pool, run_id: str) -> bool:
    view = await get_run(db, pool, run_id)
    return view is not None and view.state == "succeeded"


# Cancel


async def test_a_run_is_cancelled_wherever_it_waits(db: Db, pool: Pool) -> None:
    waiting = await later(pool)
    async with db.acquire() as connection, connection.transaction():
        promised = await enqueue_in(connection, with_a_secret, {}, delay=timedelta(days=9))

    told: list[Cancelled] = [await cancel(pool, db, one) for one in (waiting, promised, "nobody")]

    assert told == ["cancelled", "cancelled", "gone"]
    assert await get_run(db, pool, promised) is None


# Promote


async def test_a_run_that_is_put_off_starts_at_once(
    db: Db, pool: Pool, start_worker: StartWorker
) -> None:
    await start_worker()
    run_id = await later(pool)

    assert await promote(pool, run_id) == "promoted"

    await until(lambda: has_run(db, pool, run_id), within=5)


async def test_a_run_that_is_to_be_tried_again_is_tried_at_once(
    pool: Pool, start_worker: StartWorker, enqueue: Enqueue, ledgered: Ledgered
) -> None:
    """And has spent no other attempt than the one that failed."""
    await start_worker()
    run_id = await enqueue(testing_jobs.be_throttled.name)
    await ledgered.run(run_id, state="retrying")

    assert await promote(pool, run_id) == "promoted"

    async def was_tried() -> bool:
        return len(await ledgered.attempts(run_id)) == 2

    await until(was_tried)
    assert [row["attempt"] for row in await ledgered.attempts(run_id)] == [1, 2]


async def test_only_what_is_put_off_is_promoted(
    pool: Pool, crowd: Crowd, start_worker: StartWorker
) -> None:
    await start_worker(queue_concurrency={"default": 1})
    fields = {"marks": str(crowd.path), "number": 0, "seconds": 20}
    running = (await pool.enqueue(jobs.FREE, fields)).run_id

    async def stands(state: Any) -> bool:
        page = await list_live(pool, "default", state)
        return len(page.runs) == 1

    await until(lambda: stands("active"))
    waiting = (await pool.enqueue(jobs.FREE, fields)).run_id

    assert await promote(pool, running) == "active"
    assert await promote(pool, waiting) == "waiting"
    assert await promote(pool, "nobody") == "gone"


async def test_a_run_that_is_over_a_limit_is_not_promoted(
    pool: Pool, crowd: Crowd, start_worker: StartWorker
) -> None:
    await start_worker()
    await crowd.add(jobs.LIMITED, ["k"] * 3, seconds=20)  # two at once

    async def blocked() -> str | None:
        page = await list_live(pool, "default", "blocked")
        return page.runs[0].run_id if page.runs else None

    run_id = await until(blocked)

    assert await promote(pool, run_id) == "blocked"
    assert await blocked() == run_id


async def test_promoting_keeps_the_order_of_a_partition(
    pool: Pool, crowd: Crowd, start_worker: StartWorker
) -> None:
    """A run that is put off holds up nobody behind it; promoted, it is the last in line."""
    await crowd.add(jobs.follow, ["deal"], _defer_by=timedelta(hours=1))
    await crowd.add(jobs.follow, ["deal"] * 2)
    (put_off,) = (await list_live(pool, "default", "delayed")).runs

    assert await promote(pool, put_off.run_id) == "promoted"

    await start_worker()
    await crowd.done()
    begun = [mark.number for mark in crowd.marks if mark.event == "begin"]
    assert begun == [1, 2, 0]


async def test_a_promoted_run_with_a_head_start_passes_others(
    pool: Pool, crowd: Crowd, start_worker: StartWorker
) -> None:
    await crowd.add(jobs.NARROW, ["n"] * 3)
    await crowd.add(jobs.PREFERRED, ["p"], _defer_by=timedelta(hours=1))
    (put_off,) = (await list_live(pool, "maintenance", "delayed")).runs

    assert await promote(pool, put_off.run_id) == "promoted"

    assert await pool.zcard("deskhand:soon") == 0
    await start_worker(queue_concurrency={"maintenance": 1})
    await crowd.done()
    assert next(mark.number for mark in crowd.marks if mark.event == "begin") == 3


async def test_promoted_by_many_while_workers_claim_a_run_starts_once(
    db: Db, pool: Pool, crowd: Crowd, start_worker: StartWorker
) -> None:
    for _ in range(2):
        await start_worker()
    numbers = await crowd.add(jobs.FREE, ["f"] * 60, _defer_by=timedelta(seconds=0.4))
    ids = [run.run_id for run in (await list_live(pool, "default", "delayed", limit=100)).runs]

    await asyncio.gather(*(promote(pool, run_id) for run_id in ids * 4))

    await crowd.done()
    begun = sorted(mark.number for mark in crowd.marks if mark.event == "begin")
    assert begun == list(numbers)
    assert {mark.attempt for mark in crowd.marks} == {1}


# Retry


async def test_a_run_is_retried_with_all_that_it_had(
    db: Db, pool: Pool, start_worker: StartWorker, remember: Remember
) -> None:
    """And with the key of its effects, whoever retries the retry."""
    first = await remember(
        job=with_a_secret.name,
        payload={"step": 3, "secret_word": None},
        label="daily",
        correlation_id="request-7",
        run_id="first",
    )
    await start_worker()

    told = await retry(pool, db, first.run_id)
    await until(lambda: has_run(db, pool, told.run_id))
    await until(lambda: in_history(db, told.run_id))
    again = await retry(pool, db, told.run_id)

    run = await get_run(db, pool, told.run_id)
    assert run is not None
    assert told.is_new
    assert (run.label, run.correlation_id, run.replay_of) == ("daily", "request-7", "first")
    assert run.payload == {"step": 3, "secret_word": None}
    assert again.run_id != told.run_id
    await until(lambda: has_run(db, pool, again.run_id))


async def in_history(db: Db, run_id: str) -> bool:
    return any(run.run_id == run_id for run in await list_runs(db))


async def test_the_effects_of_a_retry_have_the_key_of_the_first_run(
    db: Db, pool: Pool, remember: Remember
) -> None:
    await remember(run_id="a", replay_of=None)
    await remember(run_id="b", replay_of="a")
    await remember(run_id="c", replay_of="b", job=with_a_secret.name, payload={"step": 1})

    told = await retry(pool, db, "c")

    raw = await pool.get(f"arq:job:{told.run_id}")
    assert b'"replay":"c"' in raw
    assert b'"origin":"a"' in raw


async def test_retried_by_many_at_once_it_is_one_new_run(
    db: Db, pool: Pool, remember: Remember
) -> None:
    await remember(run_id="a", job=with_a_secret.name, payload={"step": 1})

    told = await asyncio.gather(*(retry(pool, db, "a") for _ in range(10)))

    assert len({one.run_id for one in told}) == 1
    assert [one.is_new for one in told].count(True) == 1
    assert await pool.zcard("arq:queue") == 1


async def test_a_dead_run_is_retried_as_its_dead_letter(
    db: Db, pool: Pool, start_worker: StartWorker, ledgered: Ledgered
) -> None:
    """With what is sensitive, which the letter keeps; and once, whoever asks."""
    await start_worker(queue_attempts={"default": 1})
    payload = {"fails": True, "secret_word": "xyzzy"}
    run_id = (await pool.enqueue(with_a_secret, payload)).run_id
    letter = await ledgered.dead_letter(run_id)
    await ledgered.run(run_id, state="dead")

    told = await asyncio.gather(*(retry(pool, db, run_id) for _ in range(5)))

    again = f"replay:{letter['dead_letter_id']}"
    assert {one.run_id for one in told} == {again}
    assert [one.is_new for one in told].count(True) == 1
    await ledgered.run(again, state="dead")
    assert await retry(pool, db, run_id) == Retried(again, is_new=False)
    (second,) = await list_dead_letters(db)
    assert second.payload == {"step": 0, **payload}


async def test_a_run_whose_letter_was_discarded_can_be_retried(
    db: Db, pool: Pool, start_worker: StartWorker, ledgered: Ledgered
) -> None:
    await start_worker(queue_attempts={"default": 1})
    run_id = (await pool.enqueue(with_a_secret, {"fails": True})).run_id
    letter = await ledgered.dead_letter(run_id)
    await ledgered.run(run_id, state="dead")
    await discard(db, letter["dead_letter_id"], reason="no")

    told = await retry(pool, db, run_id)

    assert told.is_new
    await ledgered.run(told.run_id, state="dead")


@pytest.mark.parametrize(
    ("payload", "job", "says"),
    [
        (None, with_a_secret.name, "its payload is not kept"),
        ({"secret_word": MASK}, with_a_secret.name, "is kept without what is sensitive"),
        ({"step": 1, CUT: "[1 more]"}, with_a_secret.name, "or in part"),
        ({"step": 1}, "nobody.knows_it", "no job is called 'nobody.knows_it'"),
    ],
)
async def test_a_run_that_cannot_run_again_says_why(
    db: Db, pool: Pool, remember: Remember, payload: Any, job: str, says: str
) -> None:
    await remember(run_id="a", job=job, payload=payload)

    with pytest.raises(RunError, match=says):
        await retry(pool, db, "a")


async def test_a_payload_that_does_not_fit_any_more_is_told(
    db: Db, pool: Pool, remember: Remember
) -> None:
    await remember(run_id="a", job=with_a_secret.name, payload={"step": "many"})

    with pytest.raises(PayloadError, match="step"):
        await retry(pool, db, "a")


async def test_what_is_not_over_is_not_retried(db: Db, pool: Pool, remember: Remember) -> None:
    waiting = await later(pool)
    await remember(run_id="a", state=State.RETRYING)

    for run_id, says in (
        (waiting, "waits for its time: it is not over yet"),
        ("a", "is retrying: it is not over yet"),
        ("nobody", "history knows no run 'nobody'"),
    ):
        with pytest.raises(RunError, match=says):
            await retry(pool, db, run_id)
    assert await pool.zcard("arq:queue") == 1


# Delete


async def test_a_deleted_run_is_nowhere(
    db: Db, pool: Pool, start_worker: StartWorker, ledgered: Ledgered
) -> None:
    await start_worker()
    ids = [(await pool.enqueue(with_a_secret, {"step": step})).run_id for step in (1, 2)]
    for run_id in ids:
        await ledgered.run(run_id, state="succeeded")

    await delete(pool, db, ids[0])

    assert await get_run(db, pool, ids[0]) is None
    assert await ledgered.attempts(ids[0]) == []
    assert [run.run_id for run in await list_runs(db)] == ids[1:]
    with pytest.raises(RunError, match="history knows no run"):
        await delete(pool, db, ids[0])


async def test_what_is_not_over_is_not_deleted(
    db: Db, pool: Pool, crowd: Crowd, start_worker: StartWorker
) -> None:
    await start_worker()
    fields = {"marks": str(crowd.path), "number": 0, "seconds": 20}
    running = (await pool.enqueue(jobs.FREE, fields)).run_id
    await until(lambda: _is_active(pool))
    waiting = await later(pool)
    async with db.acquire() as connection, connection.transaction():
        promised = await enqueue_in(connection, with_a_secret, {}, delay=timedelta(days=9))

    for run_id, what in ((running, "runs"), (waiting, "waits"), (promised, "waits")):
        with pytest.raises(RunError, match=f"{what}: cancel it first"):
            await delete(pool, db, run_id)
        assert await get_run(db, pool, run_id) is not None


async def _is_active(pool: Pool) -> bool:
    return bool((await list_live(pool, "default", "active")).runs)


async def test_a_run_whose_dead_letter_waits_is_not_deleted(
    db: Db, pool: Pool, start_worker: StartWorker, ledgered: Ledgered
) -> None:
    await start_worker(queue_attempts={"default": 1})
    run_id = (await pool.enqueue(with_a_secret, {"fails": True})).run_id
    letter = await ledgered.dead_letter(run_id)
    await ledgered.run(run_id, state="dead")

    with pytest.raises(RunError, match="waits: replay or discard it first"):
        await delete(pool, db, run_id)
    assert await pool.exists(f"arq:result:{run_id}")
    await discard(db, letter["dead_letter_id"], reason="no")
    await delete(pool, db, run_id)

    assert await get_run(db, pool, run_id) is None
    assert await db.fetchval("select count(*) from dead_letters") == 0


async def test_the_waiting_letter_of_an_earlier_run_is_not_replayed_for_a_later_one(
    db: Db, pool: Pool, remember: Remember
) -> None:
    """Ids that follow from idempotency keys come again."""
    await remember(run_id="again", job=with_a_secret.name, payload={"step": 9})
    await db.execute(
        "insert into dead_letters (event_id, run_id, job, queue, payload, correlation_id, reason,"
        " attempt, enqueued_at, died_at)"
        " values ('e', 'again', $1, 'default', '{}', 'c', 'rejected', 1, now(), now())",
        with_a_secret.name,
    )

    told = await retry(pool, db, "again")

    assert told.run_id.startswith("retry:1:")
