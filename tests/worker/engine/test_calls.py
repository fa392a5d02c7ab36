"""One call of the engine: done once however often it is sent, on any data, and in what size."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from jobs.kit import QUEUES
from tests.worker.engine.desk import Desk, again, over
from worker.engine.claims import Finish
from worker.engine.scripts import script
from worker.engine.store import EVENTS
from worker.enqueuer import Pool

DEFAULT, EMAIL = QUEUES["default"], QUEUES["email"]
LEASE = timedelta(seconds=30)


@pytest.fixture
def desk(pool: Pool) -> Iterator[Desk]:
    with contextlib.closing(Desk(pool, worker_id="w1", lease=LEASE)) as desk:
        yield desk


async def put(pool: Pool, *run_ids: str, queue: str = "default") -> None:
    for run_id in run_ids:
        await pool.enqueue_raw("testing.add_line", {}, queue=queue, run_id=run_id, headers={})


async def ended(pool: Pool) -> list[str]:
    """The run ids whose end was recorded."""
    return [
        name.decode()[1:]
        for _, fields in await pool.xrange(EVENTS)
        for name in fields
        if name.startswith(b"=")
    ]


async def test_a_call_sent_again_claims_the_same_and_nothing_else(pool: Pool, desk: Desk) -> None:
    await put(pool, "a", "b", "c")
    tick = desk.store.tick([], {"default": 2})

    first = await desk.store.send(tick)
    again_ = await desk.store.send(tick)

    assert [claim.run_id for claim in first.claims] == ["a", "b"]
    assert [(c.run_id, c.token, c.raw, c.due_ms) for c in again_.claims] == [
        (c.run_id, c.token, c.raw, c.due_ms) for c in first.claims
    ]
    assert [claim.run_id for claim in await desk.claim({DEFAULT: 5})] == ["c"]


async def test_calls_of_two_lanes_are_remembered_side_by_side(pool: Pool, desk: Desk) -> None:
    await put(pool, "a", "b", "c")
    first, second = (desk.store.tick([], {"default": 1}, lane=lane) for lane in (1, 2))

    replies = [await desk.store.send(tick) for tick in (first, second, first, second)]

    claimed = [[claim.run_id for claim in reply.claims] for reply in replies]
    assert claimed == [["a"], ["b"], ["a"], ["b"]]


async def test_an_end_sent_again_is_taken_and_recorded_once(pool: Pool, desk: Desk) -> None:
    await put(pool, "a", "b")
    first, second = await desk.claim({DEFAULT: 2})
    tick = desk.store.tick(
        [Finish(first, **over()), Finish(second, **again(wait_ms=60_000))], {"default": 1}
    )

    assert [(await desk.store.send(tick)).verdicts for _ in range(3)] == [[True, True]] * 3

    assert await ended(pool) == ["a", "b"]


async def test_an_old_call_that_arrives_late_changes_nothing(pool: Pool, desk: Desk) -> None:
    await put(pool, "a", "b")
    late = desk.store.tick([], {"default": 1})
    await desk.store.send(late)
    await desk.claim({DEFAULT: 1})
    await put(pool, "c")

    await desk.store.send(late)

    assert [claim.run_id for claim in await desk.claim({DEFAULT: 5})] == ["c"]


async def test_a_redis_that_came_back_empty_takes_what_ended_meanwhile(
    pool: Pool, desk: Desk
) -> None:
    await put(pool, "done", "retried")
    done, retried = await desk.claim({DEFAULT: 2})
    await pool.flushall()

    assert await desk.renew([done, retried]) == set()
    verdicts = await desk.finish_all([(done, over()), (retried, again(spends_attempt=True))])

    assert verdicts == [True, True]
    assert await pool.get("arq:result:done") == b"{}"
    assert await ended(pool) == ["done", "retried"]
    (claim,) = await desk.claim({DEFAULT: 5})
    assert (claim.run_id, claim.raw, claim.attempt) == ("retried", retried.raw, 2)


async def test_after_an_emptying_a_later_end_of_the_same_claim_is_taken_too(
    pool: Pool, desk: Desk
) -> None:
    await put(pool, "first", "second")
    first, second = await desk.claim({DEFAULT: 2})
    await pool.flushall()
    assert await desk.finish(first, over())

    assert await desk.renew([second]) == set()
    assert await desk.finish(second, over())


async def test_an_emptied_redis_gives_nobody_the_end_of_a_run_that_came_anew(
    pool: Pool, desk: Desk
) -> None:
    await put(pool, "a")
    (old,) = await desk.claim({DEFAULT: 1})
    await pool.flushall()
    await put(pool, "a")

    assert not await desk.finish(old, over())
    assert [claim.run_id for claim in await desk.claim({DEFAULT: 1})] == ["a"]


async def test_a_full_call_ends_and_claims_many_of_several_queues(pool: Pool, desk: Desk) -> None:
    for queue, count in (("default", 90), ("email", 60)):
        await put(pool, *(f"{queue}{number}" for number in range(count)), queue=queue)

    first = await desk.claim({DEFAULT: 100, EMAIL: 100})
    tick = desk.store.tick([Finish(claim, **over()) for claim in first], {"email": 100})
    reply = await desk.store.send(tick)

    assert len(first) == 128
    assert reply.verdicts == [True] * 128
    assert len(reply.claims) == 22
    assert len(await ended(pool)) == 128


async def test_big_payloads_make_a_call_small(pool: Pool, desk: Desk) -> None:
    for number in range(200):
        await pool.set(f"arq:job:big{number}", b"x" * 100_000)
    await pool.zadd(DEFAULT.key, {f"big{number}": 1 for number in range(200)})

    claims = await desk.claim({DEFAULT: 128})

    assert 4_000_000 <= sum(len(claim.raw or b"") for claim in claims) <= 12_000_000


async def test_an_id_that_is_no_text_is_claimed_and_ended_like_any(pool: Pool, desk: Desk) -> None:
    run_id = b"id\xe9\x00\xff"
    await pool.set(b"arq:job:" + run_id, b"{}")
    await pool.zadd(DEFAULT.key, {run_id: 1})

    (claim,) = await desk.claim({DEFAULT: 1})

    assert claim.key == run_id
    assert await desk.renew([claim]) == set()
    assert await desk.finish(claim, over())
    assert await pool.zcard(DEFAULT.key) == 0


async def test_every_transition_is_an_event(pool: Pool, desk: Desk) -> None:
    await put(pool, "a")
    (claim,) = await desk.claim({DEFAULT: 1})
    await pool.delete("arq:in-progress:a")
    await pool.zadd(DEFAULT.key, {"a": 1.5})  # as if its lease had ended then
    (claim,) = await desk.claim({DEFAULT: 1})
    await desk.finish(claim, over(record=b"the record"))

    assert [
        (name, value) for _, fields in await pool.xrange(EVENTS) for name, value in fields.items()
    ] == [
        (b"+arq:queue\ntesting.add_line", b"a"),
        (b">arq:queue\nw1\n1", b"a"),
        (b"!a", b"arq:queue\n1"),
        (b">arq:queue\nw1\n1", b"a"),
        (b"=a", b"the record"),
    ]


async def test_foreign_keys_in_the_engines_own_places_hold_up_nothing(
    pool: Pool, desk: Desk
) -> None:
    await put(pool, "a")
    own = ("deskhand:crashed", "deskhand:unknown", "deskhand:counts", "arq:abort", EVENTS)
    for key in own:
        await pool.delete(key)
        await pool.rpush(key, "nonsense")  # type: ignore[misc]  # redis-py: sync or async

    (claim,) = await desk.claim({DEFAULT: 1})

    assert await desk.finish(claim, over())
    assert await ended(pool) == ["a"]


@pytest.mark.parametrize(
    "nonsense",
    [
        ("SET", "deskhand:epoch", b"\xff"),
        ("XADD", "deskhand:events", "18446744073709551615-18446744073709551615", "a", "b"),
        ("ZADD", "deskhand:crashed", "inf", "a"),
    ],
    ids=lambda command: command[1],
)
async def test_foreign_values_in_the_engines_own_places_hold_up_nothing(
    pool: Pool, desk: Desk, nonsense: tuple[str | bytes, ...]
) -> None:
    await pool.execute_command(*nonsense)  # type: ignore[no-untyped-call]  # redis-py has none
    await put(pool, "a", "b")
    await pool.zadd(DEFAULT.key, {"a": 1.5})  # its worker died

    claims = await desk.claim({DEFAULT: 5})
    verdicts = await desk.finish_all([(claim, over()) for claim in claims])

    assert [claim.run_id for claim in claims] == ["a", "b"]
    assert verdicts == [True, True]
    assert await ended(pool) == ["a", "b"]


async def test_an_enqueue_sent_again_after_its_run_was_over_adds_nothing(
    pool: Pool, desk: Desk
) -> None:
    enqueue = pool.register_script(script("enqueue").text)
    head = ("testing.add_line", "", 0)
    await enqueue(keys=[DEFAULT.key], args=[*head, 1, 1000, "", 0, "a", b"{}"])
    (claim,) = await desk.claim({DEFAULT: 1})
    await desk.finish(claim, over())

    assert await enqueue(keys=[DEFAULT.key], args=[*head, 0, 1000, "", 0, "a", b"{}"]) == b"0"
    assert await desk.claim({DEFAULT: 1}) == []
