"""What the stream of events tells to those who follow it."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.worker.ledger.records import attempt, ended, put, put_together
from worker.codec import dumps
from worker.ending import State
from worker.engine.store import EVENTS
from worker.enqueuer import Pool
from worker.events import Event, Kind, follow
from worker.redis_pool import open_redis


async def told(pool: Pool, **options: Any) -> list[Event]:
    """The events that are there."""
    async with aclosing(follow(pool, is_endless=False, **options)) as events:
        return [event async for event in events]


async def add(pool: Pool, run_id: str, job: str = "a.job", queue: str = "arq:queue") -> None:
    await put_together(pool, {f"+{queue}\n{job}".encode(): run_id.encode()})


async def test_an_entry_tells_every_step_of_a_run(pool: Pool) -> None:
    entry_id = await put_together(
        pool,
        {
            b"+arq:queue:email\na.job": b"a\nb",
            b">arq:queue\nhost:1:x\n1": b"a",
            b"!a": b"elsewhere\n2",
            b"=a": attempt("a", state=State.RETRYING, error_type="ValueError").to_bytes(),
        },
    )

    added, other, active, stalled, retried = await told(pool)

    assert (other.kind, other.run_id) == (Kind.ADDED, "b")
    assert (added.kind, added.queue, added.run_id, added.job) == (Kind.ADDED, "email", "a", "a.job")
    assert (active.kind, active.queue, active.worker) == (Kind.ACTIVE, "default", "host:1:x")
    assert (stalled.kind, stalled.queue, stalled.crashes) == (Kind.STALLED, "elsewhere", 2)
    assert (retried.kind, retried.queue, retried.attempt) == (Kind.RETRIED, "default", 1)
    assert (retried.duration, retried.error_type) == (timedelta(seconds=1), "ValueError")
    assert [e.event_id for e in (added, retried)] == [f"{entry_id}:0", f"{entry_id}:4"]
    assert int(added.at.timestamp() * 1000) == int(entry_id.partition("-")[0])


@pytest.mark.parametrize("state", list(State))
async def test_each_way_to_end_has_a_word_of_its_own(pool: Pool, state: State) -> None:
    await put_together(pool, ended(attempt(state=state)))

    (event,) = await told(pool)

    words = {
        State.SUCCEEDED: "completed",
        State.CANCELLED: "cancelled",
        State.DEAD: "dead-lettered",
        State.EXPIRED: "expired",
        State.RETRYING: "retried",
        State.SNOOZED: "snoozed",
        State.RELEASED: "released",
    }
    assert event.kind == words[state]


async def test_what_version_0_1_wrote_is_told_too(pool: Pool) -> None:
    await put(pool, attempt("a"))

    (event,) = await told(pool)

    assert (event.kind, event.run_id, event.job) == (Kind.COMPLETED, "a", "testing.add_line")


async def test_what_is_not_understood_is_skipped(pool: Pool) -> None:
    nonsense = {b"=a": b"no", b"=b": b"{}", b"!c": b"q\nmany", b"~d": b"5", b"?": b"", b"": b""}
    await put_together(pool, {**nonsense, b">arq:queue\nw\n1": b"\xff"})
    await pool.xadd(EVENTS, {b">arq:queue\nw\n1": b"late"}, id=f"{2**62}-1")

    (event,) = await told(pool)

    assert event.run_id == "\\xff"


async def test_a_job_is_known_from_its_adding_or_from_its_payload(pool: Pool) -> None:
    await add(pool, "a", "added.job")
    payload = dumps({"t": 1, "f": "stored.job", "a": [], "k": {}, "et": 1})
    await pool.set("arq:job:b", payload)
    await pool.set("arq:job:c", b"\x80pickled")
    await put_together(pool, {b">arq:queue\nw\n1": b"a\nb\nc\nd"})

    _, *active = await told(pool)

    assert [event.job for event in active] == ["added.job", "stored.job", None, None]


async def test_only_some_queue_or_job_is_told_when_asked_for(pool: Pool) -> None:
    await add(pool, "a", "a.job", "arq:queue:email")
    await add(pool, "b", "b.job", "arq:queue:email")
    await add(pool, "c", "b.job")
    await put_together(pool, {b">arq:queue:email\nw\n1": b"stranger"})

    assert [e.run_id for e in await told(pool, queue="email")] == ["a", "b", "stranger"]
    assert [e.run_id for e in await told(pool, job="b.job")] == ["b", "c"]
    assert [e.run_id for e in await told(pool, job="b.job", queue="default")] == ["c"]


async def test_it_begins_so_long_ago_or_after_an_entry(pool: Pool) -> None:
    seconds, _ = await pool.time()
    for minutes in (10, 6, 4):
        fields: dict[Any, Any] = {b"+arq:queue\nj": str(minutes).encode()}
        await pool.xadd(EVENTS, fields, id=f"{(seconds - minutes * 60) * 1000}-0")

    recent = await told(pool, since=timedelta(minutes=5))
    all_of_them = await told(pool)
    rest = await told(pool, since=all_of_them[0].event_id.partition(":")[0])

    assert [event.run_id for event in recent] == ["4"]
    assert [event.run_id for event in rest] == ["6", "4"]


async def test_more_than_one_read_holds_comes_in_order(pool: Pool) -> None:
    for number in range(250):
        await add(pool, str(number))

    assert [event.run_id for event in await told(pool)] == [str(n) for n in range(250)]


async def test_who_follows_sees_what_happens_from_now_on(pool: Pool) -> None:
    await add(pool, "before")
    await asyncio.sleep(0.002)

    async with aclosing(follow(pool, since=timedelta(0))) as events:
        first = asyncio.create_task(anext(events))
        await asyncio.sleep(0.1)
        assert not first.done()
        await add(pool, "after")
        assert (await first).run_id == "after"


async def test_a_redis_that_does_not_answer_at_the_start_is_an_error() -> None:
    redis = open_redis("redis://127.0.0.1:1", Redis)
    for since in (None, timedelta(0)):
        async with aclosing(follow(redis, since=since)) as events:
            with pytest.raises((RedisError, OSError)):
                await anext(events)
    await redis.aclose()
