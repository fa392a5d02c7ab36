"""Runs that wait or run: parts of a queue of any size, whatever lies in it."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.kit import QUEUES
from tests.worker.conftest import StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd
from tests.worker.history.jobs import with_a_secret
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.history import LIVE_STATES, Filter, LiveCursor, LiveRun, LiveState, list_live
from worker.history import live as module
from worker.pausing import UnknownQueueError, pause_queue
from worker.redis_pool import open_redis

KEY = QUEUES["default"].key


async def all_live(pool: Pool, state: LiveState, *, limit: int = 50, **which: Any) -> list[LiveRun]:
    """All pages of the default queue."""
    found: list[LiveRun] = []
    after: LiveCursor | None = None
    while True:
        page = await list_live(
            pool, "default", state, which=Filter(**which), after=after, limit=limit
        )
        assert len(page.runs) <= limit
        found += page.runs
        if page.after is None:
            return found
        after = LiveCursor.parse(str(page.after))


async def numbers(pool: Pool, state: LiveState, **which: Any) -> list[int]:
    found = await all_live(pool, state, **which)
    return sorted(run.payload["number"] for run in found if run.payload)


async def standing(pool: Pool) -> dict[str, list[int]]:
    """The numbers of all runs, by how they stand."""
    return {state: await numbers(pool, state) for state in LIVE_STATES}


async def test_each_run_is_listed_as_it_stands(
    pool: Pool, crowd: Crowd, start_worker: StartWorker
) -> None:
    await start_worker(queue_concurrency={"default": 3})
    await crowd.add(jobs.LIMITED, ["a"] * 2, seconds=30)  # two at once
    await until(lambda: begun(crowd, 2))
    await crowd.add(jobs.LIMITED, ["a"] * 2)
    await crowd.add(jobs.FREE, ["f"], seconds=30, _defer_by=timedelta(hours=1))
    await until(lambda: blocked(pool, 2))
    await pause_queue(pool, "default")
    await crowd.add(jobs.FREE, ["g", "h"])

    assert await standing(pool) == {
        "waiting": [5, 6],
        "delayed": [4],
        "blocked": [2, 3],
        "active": [0, 1],
    }
    (later,) = await all_live(pool, "delayed")
    assert timedelta(minutes=59) < later.due_at - utc_now() < timedelta(minutes=61)
    assert (later.job, later.attempt, later.tenant_id) == (jobs.FREE.name, 1, None)
    assert later.enqueued_at is not None


async def begun(crowd: Crowd, count: int) -> bool:
    return len([mark for mark in crowd.marks if mark.event == "begin"]) == count


async def blocked(pool: Pool, count: int) -> bool:
    return len(await numbers(pool, "blocked")) == count


async def test_runs_that_wait_for_their_tenants_turn_are_waiting(
    pool: Pool, start_worker: StartWorker, crowd: Crowd
) -> None:
    await start_worker(queue_concurrency={"default": 1})
    fields = {"marks": str(crowd.path), "number": 0, "seconds": 60}
    payloads = [{**fields, "tenant_id": str(UUID(int=n % 2))} for n in range(30)]
    enqueued = await pool.enqueue_all(jobs.work_for_tenant, payloads)

    async def is_sorted() -> bool:
        return bool(await pool.exists(f"deskhand:turns:{KEY}"))

    await until(is_sorted)

    waiting = await all_live(pool, "waiting", limit=4)
    active = await all_live(pool, "active")
    assert sorted(run.run_id for run in waiting + active) == sorted(one.run_id for one in enqueued)
    assert len(active) == 1
    assert await all_live(pool, "delayed") == await all_live(pool, "blocked") == []


async def test_a_filter_finds_runs_by_job_tenant_request_label_and_text(pool: Pool) -> None:
    tenant = UUID(int=5)
    payload = {"tenant_id": str(tenant), "note": 'Iğdır "x"'}
    for number in range(30):
        await pool.enqueue_raw(
            "generate-report" if number == 7 else "testing.add_line",
            payload if number == 7 else {"tenant_id": str(UUID(int=6)), "note": "else"},
            queue="default",
            run_id=f"run-{number:02}",
            headers={"cid": f"request-{number}", **({"label": "daily"} if number == 7 else {})},
        )

    which: list[dict[str, Any]] = [
        {"job": "documents.generate_report"},
        {"tenant_id": tenant},
        {"correlation_id": "request-7"},
        {"label": "daily"},
        {"text": "IĞdır"},
        {"text": '"x"'},
        {"text": "iğdır", "tenant_id": tenant},
    ]
    for one in which:
        (run,) = await all_live(pool, "waiting", limit=1, **one)
        assert (run.run_id, run.payload) == ("run-07", payload), one
    assert await all_live(pool, "waiting", text="iğdır", tenant_id=UUID(int=6)) == []


async def test_what_is_sensitive_cannot_be_searched_for(pool: Pool) -> None:
    await pool.enqueue_raw(
        with_a_secret.name,
        {"secret_word": "xyzzy", "step": 3},
        queue="default",
        run_id="a",
        headers={"cid": "c"},
    )
    await pool.enqueue_raw(
        "nobody.knows_it",
        {"secret_word": "xyzzy"},
        queue="default",
        run_id="b",
        headers={"cid": "c"},
    )

    assert await all_live(pool, "waiting", text="xyzzy") == []
    assert [run.run_id for run in await all_live(pool, "waiting", text='"step":3')] == ["a"]


async def test_a_call_looks_at_no_more_than_a_thousand_ids(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of however many; and whoever goes on comes to the end."""
    await pool.zadd(KEY, {f"run-{number:05}": 1000 for number in range(5000)})
    await pool.config_resetstat()

    page = await list_live(pool, "default", "waiting", which=Filter(label="x"))

    looked = await pool.info("commandstats")
    assert looked["cmdstat_get"]["calls"] == 2000  # the payload, and the attempts that are over
    assert page.runs == []
    assert page.after is not None
    assert page.after.run_id == b"run-00999"
    assert await all_live(pool, "waiting", label="x") == []
    monkeypatch.setattr(module, "_PER_SCRIPT", 10)
    assert len(await all_live(pool, "waiting", limit=1000)) == 5000


@pytest.mark.parametrize("state", LIVE_STATES)
async def test_foreign_garbage_holds_up_nobody(pool: Pool, state: LiveState) -> None:
    now = utc_now().timestamp() * 1000
    names = {b"\xff\x00", "İ".encode(), b" ", b"x" * 3000, b"list", b"json", b"pickle"}
    ends = {b"inf": float("inf"), b"-inf": float("-inf"), b"half": now + 9_000_000.5}
    await pool.zadd(KEY, dict.fromkeys(names, 5.0) | ends)
    await pool.lpush("arq:job:list", "x")  # type: ignore[misc]  # redis-py: sync or async
    await pool.set("arq:job:json", "[1]")
    await pool.set("arq:job:pickle", b"\x80\x04.")
    await pool.set(
        "arq:job:İ", b'{"h":{"c":["r1/1000/x","k1/y","o/z"],"cid":7},"f":"f","a":[],"k":{},"et":1}'
    )
    await pool.set("arq:retry:json", "many")
    await pool.set("deskhand:line:k" + "y", "x")

    found = await all_live(pool, state, limit=2)

    ids = {run.run_id.encode("utf-8", "surrogateescape") for run in found}
    if state == "waiting":
        assert names <= ids
    assert {run.job for run in found} <= {"<unknown>", "f"}


async def test_a_queue_that_is_no_sorted_set_holds_nothing(pool: Pool) -> None:
    await pool.set(KEY, "x")

    for state in LIVE_STATES:
        assert (await list_live(pool, "default", state)).runs == []


async def test_what_cannot_be_asked_for_is_told(pool: Pool) -> None:
    with pytest.raises(UnknownQueueError, match="'nowhere'; known: "):
        await list_live(pool, "nowhere", "waiting")
    with pytest.raises(ValueError, match="state is waiting, delayed"):
        await list_live(pool, "default", "done")  # type: ignore[arg-type]  # that is what is told
    with pytest.raises(ValueError, match="no states, queue, since or until"):
        await list_live(pool, "default", "waiting", which=Filter(queue="email"))
    with pytest.raises(ValueError, match="is a place in another list"):
        await list_live(pool, "default", "active", after=LiveCursor(1, "", b""))


@pytest.mark.parametrize(
    "text", ["", "x", "é", "WzAsMV0=", "WzksIiIsIiJd", "WzAsIjFfMCIsIiJd", "WzAsIm5hbiIsIiJd"]
)
def test_what_is_no_place_in_a_queue_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no place in a queue"):
        LiveCursor.parse(text)


@given(st.integers(0, 1), st.floats(allow_nan=False), st.binary(max_size=100))
def test_a_place_is_the_same_after_a_trip_as_text(window: int, score: float, name: bytes) -> None:
    cursor = LiveCursor(window, f"{score:.17g}", name)

    assert LiveCursor.parse(str(cursor)) == cursor


def test_pages_are_the_whole_queue_in_order(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where many are due at one instant, and when the last of a page goes meanwhile."""
    monkeypatch.setattr(module, "_PER_SCRIPT", 3)
    monkeypatch.setattr(module, "_SCANNED", 6)

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(
        st.dictionaries(st.binary(min_size=1, max_size=2), st.integers(1, 3), max_size=30),
        st.integers(1, 4),
        st.sampled_from(["stays", "goes"]),
    )
    def check(scores: dict[bytes, int], limit: int, moving: str) -> None:
        async def command() -> None:
            pool = open_redis(redis_url, Pool)
            await pool.delete(KEY)
            if scores:
                await pool.zadd(KEY, scores)
            seen: list[bytes] = []
            after: LiveCursor | None = None
            while True:
                page = await list_live(pool, "default", "waiting", after=after, limit=limit)
                seen += [run.run_id.encode("utf-8", "surrogateescape") for run in page.runs]
                if page.after is None:
                    break
                after = page.after
                if moving == "goes" and seen:
                    await pool.zrem(KEY, seen[-1])
            await pool.aclose()
            assert seen == [name for _, name in sorted((at, name) for name, at in scores.items())]

        asyncio.run(command())

    check()
