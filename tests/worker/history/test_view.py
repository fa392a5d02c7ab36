"""One run, wherever it is: in the outbox, in Redis, in history, or in several of them."""

from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from jobs.kit import Enqueued
from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, Ledgered, StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd
from tests.worker.history.conftest import Remember
from tests.worker.history.jobs import with_a_secret
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.history import RunView, get_run, redacted_payload
from worker.message import When
from worker.outbox import enqueue_in
from worker.telemetry.redaction import MASK

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


async def seen(db: Db, pool: Pool, run_id: str) -> RunView:
    view = await get_run(db, pool, run_id)
    assert view is not None
    assert view.run_id == run_id
    return view


async def test_nobody_knows_a_run_that_never_was(db: Db, pool: Pool) -> None:
    for run_id in ("nobody", "", "\x00", "\udcff", "x" * 10_000):
        assert await get_run(db, pool, run_id) is None


async def test_a_run_that_waits_is_seen_with_its_payload(db: Db, pool: Pool) -> None:
    enqueued: Enqueued = await pool.enqueue(
        with_a_secret, {"step": 3}, when=When(wait_ms=3_600_000), headers={"label": "daily"}
    )

    view = await seen(db, pool, enqueued.run_id)

    assert (view.state, view.job, view.queue) == ("delayed", with_a_secret.name, "default")
    assert view.payload == {"secret_word": None, "step": 3, "fails": False}
    assert (view.label, view.attempt, view.attempts) == ("daily", 1, [])
    assert view.due_at is not None
    assert timedelta(minutes=59) < view.due_at - utc_now() < timedelta(minutes=61)


async def test_a_run_that_runs_is_seen_with_what_it_says(
    db: Db, pool: Pool, crowd: Crowd, start_worker: StartWorker
) -> None:
    await start_worker()
    payload = {"marks": str(crowd.path), "number": 0, "seconds": 3}
    run_id = (await pool.enqueue(jobs.read_pages, payload)).run_id

    async def told() -> RunView | None:
        view = await get_run(db, pool, run_id)
        return view if view and view.progress else None

    view = await until(told)

    assert view.progress is not None
    assert (view.state, view.due_at, view.progress.attempt) == ("active", None, 1)


async def test_a_success_is_seen_with_its_result(
    db: Db, pool: Pool, start_worker: StartWorker, ledgered: Ledgered
) -> None:
    await start_worker()
    run_id = (await pool.enqueue(with_a_secret, {"step": 7, "secret_word": "xyzzy"})).run_id
    await ledgered.run(run_id, state="succeeded")

    view = await seen(db, pool, run_id)

    assert (view.state, view.reason, view.due_at) == ("succeeded", None, None)
    assert view.result is not None
    assert (view.result.is_success, view.result.value, view.result.is_shown) == (True, 7, True)
    assert view.payload == {"secret_word": MASK, "step": 7, "fails": False}
    assert [attempt.outcome for attempt in view.attempts] == ["succeeded"]
    assert view.finished_at is not None


async def test_a_run_between_two_attempts_is_seen_in_redis_and_in_history(
    db: Db, pool: Pool, start_worker: StartWorker, enqueue: Enqueue, ledgered: Ledgered
) -> None:
    await start_worker()
    run_id = await enqueue(testing_jobs.be_throttled.name)
    await ledgered.run(run_id, state="retrying")

    view = await seen(db, pool, run_id)

    assert (view.state, view.attempt, view.finished_at) == ("delayed", 2, None)
    assert view.due_at is not None
    assert view.due_at > utc_now() + timedelta(hours=1)
    assert [attempt.error_type for attempt in view.attempts] == ["ServiceUnavailableError"]
    assert view.started_at == view.attempts[0].started_at


async def test_a_dead_run_is_seen_with_its_whole_payload_and_its_errors(
    db: Db, pool: Pool, start_worker: StartWorker, enqueue: Enqueue, ledgered: Ledgered, diary: Path
) -> None:
    await start_worker()
    run_id = await enqueue(testing_jobs.fail.name)
    letter = await ledgered.dead_letter(run_id)
    await ledgered.run(run_id, state="dead")

    view = await seen(db, pool, run_id)

    assert (view.state, view.reason, view.attempt) == ("dead", "attempts_spent", 3)
    assert view.payload == {"diary": str(diary), "succeeds_at": 99}
    assert view.dead_letter_id == letter["dead_letter_id"]
    assert [attempt.error_type for attempt in view.attempts] == ["ValueError"] * 3
    assert all("went wrong" in (attempt.traceback or "") for attempt in view.attempts)
    assert view.result is not None
    assert not view.result.is_success


async def test_a_run_that_waits_in_the_outbox_alone_is_seen(db: Db, pool: Pool) -> None:
    async with db.acquire() as connection, connection.transaction():
        later = await enqueue_in(connection, with_a_secret, {"step": 1}, delay=timedelta(days=9))
        now = await enqueue_in(connection, with_a_secret, {"step": 2})

    view = await seen(db, pool, later)

    assert (view.state, view.is_in_outbox, view.job) == ("delayed", True, with_a_secret.name)
    assert view.payload == {"secret_word": None, "step": 1, "fails": False}
    assert view.due_at is not None
    assert timedelta(days=8) < view.due_at - utc_now() < timedelta(days=10)
    assert (await seen(db, pool, now)).state == "waiting"


async def test_an_end_that_history_has_not_heard_of_is_seen(db: Db, pool: Pool) -> None:
    for run_id, value, is_success in (
        ("a", {"x": "y" * 70_000}, "true"),
        ("b", {"$error": "CancelledError", "message": "no"}, "false"),
        ("c", {"$error": "ValueError", "message": "no"}, "false"),
    ):
        text = str(value).replace("'", '"')
        await pool.set(
            f"arq:result:{run_id}",
            f'{{"t":2,"f":"testing.fail","a":[],"k":{{}},"et":1,"s":{is_success},"r":{text},'
            '"st":1000,"ft":2000,"q":"arq:queue:email"}',
        )
    await pool.set("arq:result:d", b"\x80\x04N.")

    views = [await seen(db, pool, run_id) for run_id in "abc"]

    assert [view.state for view in views] == ["succeeded", "cancelled", "dead"]
    assert {(view.queue, view.attempt, view.job) for view in views} == {
        ("email", 2, "testing.fail")
    }
    results = [view.result for view in views if view.result]
    # What is large stays where it is.
    assert [(one.is_shown, one.value is None) for one in results] == [
        (False, True),
        (True, False),
        (True, False),
    ]
    assert await get_run(db, pool, "d") is None


async def test_a_run_id_that_comes_again_is_not_taken_for_the_run_before(
    db: Db, pool: Pool, remember: Remember
) -> None:
    await remember(run_id="again", reason="paid")
    await pool.enqueue(with_a_secret, {"step": 1}, run_id="again")

    view = await seen(db, pool, "again")

    assert (view.state, view.reason, view.finished_at) == ("waiting", None, None)


@pytest.mark.parametrize(
    ("job", "payload", "shown"),
    [
        (with_a_secret.name, {"secret_word": "x", "step": 1}, {"secret_word": MASK, "step": 1}),
        ("nobody.knows_it", {"email": "a@b.example", "n": 1}, {"email": MASK, "n": 1}),
        ("nobody.knows_it", None, None),
    ],
)
def test_people_see_payloads_without_what_is_personal(job: str, payload: Any, shown: Any) -> None:
    assert redacted_payload(job, payload) == shown
