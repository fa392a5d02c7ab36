"""Dead letters in people's hands: found, understood, run again once, or put away."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from arq.jobs import Job

from jobs.kit import JobContext, Payload, PayloadError, Retry, job
from tests.worker.conftest import Ledgered, StartWorker
from tests.worker.dead_letters.conftest import NOW, MakeLetter
from tests.worker.testing_jobs import fail, ship_order
from worker.codec import loads
from worker.dead_letters import (
    Cursor,
    DeadLetterError,
    Filter,
    attempts_of,
    count_dead_letters,
    discard,
    get_dead_letter,
    list_dead_letters,
    replay,
)
from worker.engine.worker import Worker
from worker.enqueuer import Pool
from worker.message import correlation_id

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
TENANT = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


class Mended(Payload):
    repaired: Path


@job("testing_dead_letters.work_when_repaired", queue="default", retry=Retry(attempts=1))
async def work_when_repaired(ctx: JobContext, payload: Mended) -> dict[str, str | None]:
    """Fails until somebody has made the file."""
    payload.repaired.read_text()
    run = ctx.run
    return {"replay_of": run.replay_of, "cid": run.correlation_id, "key": run.key}


# Finding and understanding


async def test_a_list_has_pages_newest_first(db: Db, make_letter: MakeLetter) -> None:
    ids = [await make_letter() for _ in range(5)]

    first = await list_dead_letters(db, limit=2)
    place = Cursor.parse(str(first[-1].cursor))
    second = await list_dead_letters(db, limit=2, before=place)
    await discard(db, ids[1], reason="a page may go from below whoever reads")
    third = await list_dead_letters(db, limit=2, before=second[-1].cursor)

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
        ({"job": "old-ship"}, "c"),
        ({"reason": "poison"}, "b"),
        ({"error_type": "KeyError"}, "c"),
        ({"tenant_id": TENANT}, "b"),
        ({"text": "WENT wrong"}, "ab"),
        ({"text": "100%_\\"}, "c"),
        ({"text": "%_\\"}, "c"),
        ({"since": NOW + timedelta(minutes=2)}, "ab"),
        ({"until": NOW + timedelta(minutes=2)}, "c"),
        ({"queue": "email", "until": NOW + timedelta(minutes=2), "text": "100%"}, "c"),
    ],
    ids=str,
)
async def test_a_list_can_be_narrowed(
    db: Db, make_letter: MakeLetter, wanted: dict[str, Any], expected: str
) -> None:
    await make_letter(run_id="a")
    await make_letter(run_id="b", queue="email", reason="poison", tenant_id=TENANT)
    await make_letter(
        run_id="c",
        queue="email",
        job=ship_order.name,
        error_type="KeyError",
        error_message="100%_\\ of it",
        ended_at=NOW,
    )
    await discard(db, await make_letter(run_id="d"), reason="no use")

    found = await list_dead_letters(db, Filter(**wanted))

    assert {letter.run_id for letter in found} == set(expected)
    assert await count_dead_letters(db, Filter(**wanted)) == len(expected)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "dead' or true --"},
        {"since": datetime(2026, 3, 1)},  # noqa: DTZ001 - that is what is wrong
        {"text": "ab"},
        {"text": "x" * 201},
        {"queue": "a\x00b"},
    ],
    ids=str,
)
def test_a_filter_that_makes_no_sense_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) + "|NUL"):
        Filter(**wrong)


@pytest.mark.parametrize("text", ["", "7", "x-1", "1-x", "1-2-3", "9" * 30 + "-1", "-1-1"])
def test_a_place_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        Cursor.parse(text)


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


async def test_a_replay_starts_with_all_its_attempts_and_the_payload_as_it_was(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    # A worker of another version may know the field that this one does not.
    letter_id = await make_letter(
        job="old-ship", queue="gone", payload={"order_id": "7", "old_field": 1}
    )

    run_id = await replay(db, pool, letter_id)

    written = orjson.loads(await pool.get(f"arq:job:{run_id}"))
    assert (written["f"], written["a"]) == (ship_order.name, [{"order_id": "7", "old_field": 1}])
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
