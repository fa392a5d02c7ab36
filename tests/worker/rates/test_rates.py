"""Acceptance row O-16: rates, waits and durations, each attempt counted once."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, StartWorker, until
from worker.clock import utc_now
from worker.rates import RateWriter, Tally, prune, queries, rates
from worker.rates.tally import STEPS, Lengths, percentile

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def count(
    tally: Tally,
    attempts: int,
    *,
    at: datetime = START,
    queue: str = "email",
    outcome: str = "succeeded",
    wait: float = 1,
    duration: float = 2,
) -> None:
    """So many attempts that began at once."""
    began = at.timestamp()
    times = [((began - wait) * 1000, began, began + duration)] * attempts
    tally.add(queue, "email.send", outcome, times, ended=began)


async def test_rates_are_of_each_queue_and_period(db: Db) -> None:
    tally = Tally()
    count(tally, 30)
    count(tally, 10, outcome="dead", wait=5)
    count(tally, 20, at=START + timedelta(minutes=2))
    count(tally, 6, queue="sync", outcome="released")
    await RateWriter(db, tally).flush()
    hour: Any = {"since": START, "until": START + timedelta(hours=1)}

    email, sync = await rates(db, **hour)
    first, second = await rates(db, queue="email", period=timedelta(minutes=1), **hour)

    assert (email.queue, email.attempts, email.per_minute, email.per_hour) == ("email", 60, 1, 60)
    assert (email.by_outcome, email.failure_share) == ({"dead": 10, "succeeded": 50}, 10 / 60)
    assert (sync.attempts, sync.failure_share) == (6, None)
    assert (first.at, first.attempts, first.per_minute) == (START, 40, 40)
    assert (second.at, second.attempts) == (START + timedelta(minutes=2), 20)
    assert first.wait.mean == 2 * SECOND
    assert first.wait.longest == 5 * SECOND
    assert first.duration.mean == first.duration.longest == 2 * SECOND
    assert await rates(db, queue="sync", job="email.other", **hour) == []


async def test_what_several_workers_count_is_added_up(db: Db) -> None:
    writers = []
    for _ in range(3):
        tally = Tally()
        count(tally, 10)
        writers.append(RateWriter(db, tally))
        count(tally, 1, queue="sync")

    await asyncio.gather(*(writer.flush() for writer in writers))

    email, sync = await rates(db, since=START, until=START + timedelta(minutes=1))
    assert (email.attempts, sync.attempts) == (30, 3)
    assert email.duration.mean == 2 * SECOND


async def test_what_is_written_twice_counts_once(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks after the commit, so nobody knows whether it was done."""
    tally = Tally()
    writer = RateWriter(db, tally)
    done = queries.add

    async def break_after(*args: object, **options: object) -> None:
        await done(*args, **options)  # type: ignore[arg-type]  # handed on
        raise ConnectionResetError

    count(tally, 10)
    monkeypatch.setattr(queries, "add", break_after)
    with pytest.raises(ConnectionResetError):
        await writer.flush()
    monkeypatch.setattr(queries, "add", done)
    count(tally, 5)

    await writer.flush()

    (email,) = await rates(db, since=START, until=START + timedelta(minutes=1))
    assert email.attempts == 15


async def test_what_cannot_be_written_is_kept_and_bounded(db: Db) -> None:
    tally = Tally()
    for minute in range(6000):
        count(tally, 1, at=START + timedelta(minutes=minute))

    await RateWriter(db, tally).flush()

    assert tally.take() == {}
    found = await rates(db, since=START, until=START + timedelta(days=7))
    assert [one.attempts for one in found] == [5000]


async def test_a_worker_counts_what_it_runs(
    db: Db, start_worker: StartWorker, enqueue: Enqueue
) -> None:
    worker = await start_worker()
    before = utc_now() - timedelta(minutes=1)
    for _ in range(20):
        await enqueue(testing_jobs.add_line.name)
    failing = await enqueue(testing_jobs.fail.name)
    assert failing

    async def is_over() -> bool:
        found = await rates(db, since=before, until=utc_now() + timedelta(minutes=1))
        return bool(found) and found[0].attempts >= 23

    await until(is_over)

    (default,) = await rates(db, since=before, until=utc_now() + timedelta(minutes=1))
    assert default.by_outcome == {"succeeded": 20, "retrying": 2, "dead": 1}
    assert timedelta(0) <= default.wait.p50 <= default.wait.p95 <= default.wait.longest
    assert worker.engine is not None


async def test_counts_are_kept_for_seven_days(db: Db) -> None:
    tally = Tally()
    now = utc_now()
    for days in (1, 6, 8, 9):
        count(tally, 1, at=now - timedelta(days=days))
    await RateWriter(db, tally).flush()

    assert await prune(db) == 2

    (left,) = await rates(db, since=now - timedelta(days=30))
    assert left.attempts == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"since": START.replace(tzinfo=None)}, "say a time zone"),
        ({"since": START, "until": START}, "since is before until"),
        ({"period": timedelta(seconds=90)}, "period is some whole minutes"),
        ({"period": timedelta(0)}, "period is some whole minutes"),
    ],
    ids=str,
)
async def test_what_cannot_be_asked_is_told(
    db: Db, options: dict[str, datetime], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        await rates(db, **options)  # type: ignore[arg-type]  # of several types


lengths = st.lists(st.floats(1.5, 100_000_000), min_size=1, max_size=200)


@given(lengths, st.sampled_from([0.5, 0.95, 0.99]))
def test_percentiles_are_off_by_a_step_at_most(all_: list[float], share: float) -> None:
    counted = Lengths()
    counted.add(all_)

    told = percentile(counted.steps, share, counted.longest)

    place = max(-(-int(share * 1000) * len(all_) // 1000) - 1, 0)
    exact = sorted(all_)[place]
    assert exact / 1.42 <= told <= exact * 1.42
    assert told <= counted.longest
    assert counted.total == pytest.approx(math.fsum(all_))
    assert len(counted.steps) == STEPS


def test_foreign_instants_count_as_some_wait() -> None:
    tally = Tally()
    for due in (float("-inf"), float("inf"), -5.0, 1e300):
        tally.add("email", "job", "dead", [(due, 100.0, 99.0)], ended=99.0)

    (counted,) = tally.take().values()

    assert counted.attempts == 4
    assert counted.waits.longest == 100_000
    assert counted.durations.longest == 0
