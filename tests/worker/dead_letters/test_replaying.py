"""Many letters run again: each once, at a pace, whatever some of them hold or break."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import orjson
import pytest
from arq.jobs import Job

from jobs.kit import JobContext, Payload, Retry, job
from tests.worker.conftest import Ledgered, StartWorker, until
from tests.worker.dead_letters.conftest import NOW, MakeLetter
from tests.worker.ledger.records import attempt
from tests.worker.testing_jobs import ship_order
from worker.codec import loads
from worker.dead_letters import (
    Filter,
    Replayed,
    count_dead_letters,
    get_dead_letter,
    list_dead_letters,
    replay,
    replay_all,
    replay_id,
)
from worker.ending import State
from worker.engine.writer import Line, NewRun, RunWriter
from worker.enqueuer import Pool
from worker.ledger import write_dead_letters
from worker.message import When
from worker.records import DeadRecord

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class Watched(Payload):
    repaired: Path
    marks: Path


@job("testing_replaying.work", queue="default", retry=Retry(attempts=1), result_ttl=0)
async def work(ctx: JobContext, payload: Watched) -> None:
    """Leaves its key, what it replays and its headers' trace; fails until there is the file."""
    with payload.marks.open("a") as file:
        file.write(f"{ctx.run.run_id} {ctx.run.replay_of} {ctx.run.key}\n")
    payload.repaired.read_text()


async def all_of(pages: AsyncIterator[Replayed]) -> tuple[list[int], dict[int, str]]:
    ids: list[int] = []
    unfit: dict[int, str] = {}
    async for page in pages:
        ids += page.dead_letter_ids
        unfit |= {one.dead_letter_id: str(one) for one in page.unfit}
    return ids, unfit


async def many(make_letter: MakeLetter, count: int, **changes: Any) -> list[int]:
    return [await make_letter(payload={"diary": "d"}, **changes) for _ in range(count)]


async def test_all_of_a_filter_run_again_oldest_first_and_no_others(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    ids = await many(make_letter, 30)
    first = await make_letter(payload={"diary": "d"}, ended_at=NOW)
    (other,) = await many(make_letter, 1, queue="email")

    done = await all_of(replay_all(db, pool, Filter(queue="default")))

    assert done == ([first, *ids], {})
    assert await pool.zcard("arq:queue") == 31
    (left,) = await list_dead_letters(db)
    assert left.dead_letter_id == other
    letter = await get_dead_letter(db, first)
    assert (letter.status, letter.replayed_as) == ("replayed", replay_id(first))


async def test_what_does_not_fit_is_told_and_holds_up_none(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    good = await many(make_letter, 2)
    unknown = await make_letter(payload={}, job="testing.of_yesterday")
    unfit = await make_letter(payload={"order_id": "x"}, job=ship_order.name)
    unreadable = await make_letter(payload=None, raw=b"\x80")
    good += await many(make_letter, 2)

    ids, why = await all_of(replay_all(db, pool, Filter()))
    again, why_again = await all_of(replay_all(db, pool, [good[0], unfit, 404, *good]))

    assert ids == good
    assert "its job is unknown" in why[unknown]
    assert "order_id: Input should be a valid integer" in why[unfit]
    assert "its payload could not be read" in why[unreadable]
    assert len(why) == 3
    assert again == []
    assert set(why_again) == {unfit, 404, *good}
    assert await count_dead_letters(db, Filter()) == 3


async def test_two_at_once_replay_each_letter_once_and_share_the_work(
    db: Db, pool: Pool, make_letter: MakeLetter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await many(make_letter, 120)
    written: list[str] = []
    write_one = RunWriter.write_one

    async def slowly(self: RunWriter, line: Line, run: NewRun) -> int:
        written.append(run.run_id)
        await asyncio.sleep(0.02)
        return await write_one(self, line, run)

    monkeypatch.setattr(RunWriter, "write_one", slowly)

    results = await asyncio.gather(
        *(all_of(replay_all(db, pool, Filter())) for _ in range(2)),
        all_of(replay_all(db, pool, ids[::-1][:40])),
    )

    assert Counter(written) == dict.fromkeys(map(replay_id, ids), 1)
    assert sorted(one for done, _ in results for one in done) == ids
    assert all(done for done, _ in results)


async def test_letters_that_are_written_meanwhile_are_not_replayed(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    """Else one that fails again would run for ever."""
    await many(make_letter, 30)
    seen = []

    async for page in replay_all(db, pool, Filter()):
        seen += page.dead_letter_ids
        await many(make_letter, 1, ended_at=NOW + timedelta(days=1))

    assert len(seen) == 30
    assert await count_dead_letters(db, Filter()) == 2


@pytest.mark.parametrize(("pace", "count"), [(40.0, 30), (3.0, 4)])
async def test_it_keeps_its_pace(
    db: Db, pool: Pool, make_letter: MakeLetter, pace: float, count: int
) -> None:
    await many(make_letter, count)
    begun = time.monotonic()
    sizes = []

    async for page in replay_all(db, pool, Filter(), pace=pace):
        sizes.append(len(page.dead_letter_ids))
        # At no time more than one page ahead.
        assert sum(sizes) <= (time.monotonic() - begun) * pace + max(sizes)

    assert sum(sizes) == count
    assert max(sizes) <= max(pace / 4, 1)


async def test_a_stop_ends_it_between_pages_and_the_next_call_goes_on(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    ids = await many(make_letter, 60)
    stop = asyncio.Event()
    first: list[int] = []

    async with asyncio.timeout(5):
        async for page in replay_all(db, pool, Filter(), pace=0.5, stop=stop):
            first += page.dead_letter_ids
            asyncio.get_running_loop().call_later(0.1, stop.set)
    second, _ = await all_of(replay_all(db, pool, Filter()))

    assert first + second == ids
    assert await pool.zcard("arq:queue") == 60


async def test_when_redis_goes_away_what_it_took_is_done_and_the_rest_waits(
    db: Db, pool: Pool, make_letter: MakeLetter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await many(make_letter, 10)
    enqueue_raw = Pool.enqueue_raw

    async def sometimes(self: Pool, *args: Any, run_id: str, **kwargs: Any) -> bool:
        if run_id in map(replay_id, ids[4:7]):
            raise ConnectionError("gone")
        return await enqueue_raw(self, *args, run_id=run_id, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Pool, "enqueue_raw", sometimes)
        with pytest.raises(ConnectionError, match="gone"):
            await all_of(replay_all(db, pool, Filter()))

    waiting = [letter.dead_letter_id for letter in await list_dead_letters(db)]
    assert sorted(waiting) == ids[4:7]
    assert await all_of(replay_all(db, pool, Filter())) == (ids[4:7], {})


@pytest.mark.parametrize("status", ["replayed", "discarded"])
async def test_only_waiting_letters_are_replayed(db: Db, pool: Pool, status: Any) -> None:
    with pytest.raises(ValueError, match="only letters that wait"):
        await all_of(replay_all(db, pool, Filter(status=status)))
    with pytest.raises(ValueError, match="pace"):
        await all_of(replay_all(db, pool, Filter(), pace=0))


async def test_a_replay_that_history_knows_is_not_made_again(
    start_worker: StartWorker, db: Db, pool: Pool, ledgered: Ledgered, tmp_path: Path
) -> None:
    """Its mark got lost, and no result of it is kept: only its row says that it ran."""
    await start_worker()
    letter_id, marks = await dead_run(pool, ledgered, tmp_path)
    (tmp_path / "repaired").write_text("yes")
    run_id = await replay(db, pool, letter_id)
    await ledgered.run(run_id, state="succeeded")
    await db.execute("update dead_letters set status = 'dead', replayed_as = null")

    await replay(db, pool, letter_id)

    assert await pool.exists(f"arq:job:{run_id}") == 0
    assert (await get_dead_letter(db, letter_id)).status == "replayed"
    assert len(marks.read_text().splitlines()) == 2


async def dead_run(
    pool: Pool, ledgered: Ledgered, folder: Path, **headers: str
) -> tuple[int, Path]:
    marks = folder / "marks"
    payload = {"repaired": str(folder / "repaired"), "marks": str(marks)}
    await pool.enqueue(
        work, work.validate(payload), run_id="first", headers=headers, when=When(expires_ms=60_000)
    )
    return (await ledgered.dead_letter("first"))["dead_letter_id"], marks


async def test_a_replay_takes_everything_along_but_the_time_to_start(
    start_worker: StartWorker, db: Db, pool: Pool, ledgered: Ledgered, tmp_path: Path
) -> None:
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    headers = {**trace, "tracestate": "a=1", "label": "ünlü", "cid": "request-7"}
    worker = await start_worker()
    letter_id, _ = await dead_run(pool, ledgered, tmp_path, **headers)
    letter = await get_dead_letter(db, letter_id)
    assert letter.headers == headers
    worker.handle_sig(signal.SIGTERM)
    await until(lambda: stopped(worker))

    run_id = await replay(db, pool, letter_id)

    written = orjson.loads(await pool.get(f"arq:job:{run_id}"))
    assert written["h"] == {**headers, "replay": "first", "origin": "first"}


async def stopped(worker: Any) -> bool:
    return bool(worker.main_task.done())


async def test_a_replay_of_a_replay_keeps_the_key_of_the_first_run(
    start_worker: StartWorker, db: Db, pool: Pool, ledgered: Ledgered, tmp_path: Path
) -> None:
    """What the first run has done under its key is not done again by the third."""
    await start_worker()
    first, marks = await dead_run(pool, ledgered, tmp_path)
    second = (await ledgered.dead_letter(await replay(db, pool, first)))["dead_letter_id"]
    third = (await ledgered.dead_letter(await replay(db, pool, second)))["dead_letter_id"]
    # As from version 0.1, which kept no headers: history knows what the third replayed, once it has
    # been written; dead letters are written beside it.
    await ledgered.run(f"replay:{second}", state="dead")
    await db.execute("update dead_letters set headers = null")
    (tmp_path / "repaired").write_text("yes")

    await ledgered.run(await replay(db, pool, third), state="succeeded")

    assert marks.read_text().splitlines() == [
        "first None first",
        f"replay:{first} first first",
        f"replay:{second} replay:{first} first",
        f"replay:{third} replay:{second} replay:{first}",
    ]


async def test_a_replay_of_a_job_with_an_idempotency_key_runs_beside_its_kept_result(
    start_worker: StartWorker, db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    """The first run's id is taken by its result; the replay has an id of its own."""
    letter_id = await make_letter(
        job=ship_order.name, queue="email", payload={"order_id": 7}, run_id="testing.ship_order:7"
    )
    await pool.set("arq:result:testing.ship_order:7", "kept")
    await start_worker()

    run_id = await replay(db, pool, letter_id)

    result = Job(run_id, pool, _deserializer=loads).result(timeout=10, poll_delay=0.02)
    assert await result == "7"  # its key: the idempotency key, as in the first run


async def test_records_of_older_versions_are_still_read(
    db: Db, pool: Pool, make_letter: MakeLetter
) -> None:
    newer = await make_letter(payload={"diary": "d"}, headers={"label": "a\x00b"})
    last = attempt("old", state=State.DEAD, reason="rejected")
    record = orjson.loads(DeadRecord(last=last, payload={"diary": "d"}, raw=None).to_bytes())
    del record["headers"]

    await write_dead_letters(db, [("1-0", orjson.dumps(record))])

    first, older = await list_dead_letters(db)
    assert (older.headers, first.headers) == (None, {"label": "a␀b"})
    assert await all_of(replay_all(db, pool, [newer, older.dead_letter_id])) == (
        [newer, older.dead_letter_id],
        {},
    )
