"""What ends ARQ's worker and must not end ours: D1 to D5, D7, D9."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import arq.worker
import pytest
from arq.connections import RedisSettings
from arq.jobs import Job
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from tests.worker.conftest import Ledgered, until
from tests.worker.constellations import Node, server_at
from tests.worker.engine.defects.defect_jobs import exit_process, nap, note
from tests.worker.engine.defects.running import WorkerDiedError
from tests.worker.engine.defects.slow_redis import slow_line
from tests.worker.engine.defects.subjects import Subject, defect, deskhand_only
from tests.worker.trouble_servers import MortalRedis

pytestmark = pytest.mark.timeout(120)  # one starts a process
OUTAGE = 1.5  # seconds


# D1


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
@defect("D1", "a Redis that is away ends the worker", raises=WorkerDiedError)
async def test_a_worker_outlives_an_outage_of_redis(
    mortal_redis: MortalRedis, subject: Subject, *, is_busy: bool
) -> None:
    await subject.open(mortal_redis.url)
    await subject.start(redis_url=mortal_redis.url)
    if is_busy:
        await subject.enqueue(nap, seconds=OUTAGE + 4)
        await subject.until_written("begin")

    mortal_redis.kill()
    await asyncio.sleep(OUTAGE)
    await mortal_redis.start()

    assert await subject.value(await enqueued_again(subject, text="still here")) == "still here"


@defect("D1", "a Redis that lost its data ends the worker", raises=WorkerDiedError)
async def test_a_run_in_hand_outlives_a_redis_that_lost_its_data(
    mortal_redis: MortalRedis, subject: Subject, ledgered: Ledgered
) -> None:
    await subject.open(mortal_redis.url)
    await subject.start(redis_url=mortal_redis.url)
    run_id = await subject.enqueue(nap, seconds=3)
    await subject.until_written("begin")

    mortal_redis.kill()
    await mortal_redis.start(is_empty=True)

    await subject.until_written("end")
    assert await subject.value(await enqueued_again(subject, text="next")) == "next"
    assert (await ledgered.run(run_id, state="succeeded"))["attempt"] == 1
    assert len(subject.texts("begin")) == 1


async def enqueued_again(subject: Subject, **payload: Any) -> str:
    """The enqueuer's connections died too: it is the worker that this is about."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await subject.enqueue(note, **payload)
            except (RedisError, OSError):
                await asyncio.sleep(0.1)


# D2

HOOKS = ("on_job_start", "on_job_end", "after_job_end")


@pytest.mark.parametrize("hook", HOOKS)
@defect("D2", "a hook that raises ends the worker", raises=WorkerDiedError)
async def test_a_hook_that_raises_ends_nothing(subject: Subject, hook: str) -> None:
    seen = []

    async def raise_error(ctx: dict[Any, Any]) -> None:
        seen.append(ctx["job_id"])
        raise RuntimeError("a hook")

    await subject.start(arq={hook: raise_error})

    runs = [await subject.enqueue(note, text=text) for text in ("first", "second")]

    assert [await subject.value(run) for run in runs] == ["first", "second"]
    await asyncio.sleep(0.3)
    last = await subject.enqueue(note, text="third")
    assert await subject.value(last) == "third"
    assert set(seen) == {*runs, last}
    assert len(subject.lines) == 3


@pytest.mark.parametrize("hook", HOOKS)
@deskhand_only
async def test_a_hook_that_exits_ends_nothing(subject: Subject, hook: str) -> None:
    """In a process of ARQ's own this ends the process, so there is no stock side to run here."""

    async def leave(ctx: dict[Any, Any]) -> None:
        seen.append(ctx["job_id"])
        raise SystemExit(3)

    async def is_seen() -> bool:
        return bool(seen)

    seen: list[str] = []
    await subject.start(arq={hook: leave})

    run_id = await subject.enqueue(note, text="still here")

    assert await subject.value(run_id) == "still here"
    await until(is_seen)  # the last hook comes when Redis has the result
    assert seen == [run_id]


# D3


@pytest.mark.parametrize("kind", ["unknown", "expired"])
@defect(
    "D3", "results for ever, and a run that fails early, end the worker", raises=WorkerDiedError
)
async def test_results_that_are_kept_for_ever_end_nothing(subject: Subject, kind: str) -> None:
    if kind == "unknown":
        await subject.enqueue_with(subject.stock_pool, "defects.of_tomorrow")
    else:
        gone = await subject.enqueue_with(subject.stock_pool, note, _expires=0.01)
        await subject.redis.delete(f"arq:job:{gone}")
    await subject.start(arq={"keep_result_forever": True})
    await asyncio.sleep(0.3)

    assert await subject.value(await subject.enqueue(note, text="still here")) == "still here"


# D4


@defect("D4", "sys.exit() in a job ends the worker", raises=WorkerDiedError)
async def test_a_job_that_exits_ends_itself_alone(subject: Subject) -> None:
    await subject.spawn()
    await subject.enqueue(exit_process)
    await subject.until_written("exit")

    assert await subject.value(await subject.enqueue(note, text="still here")) == "still here"


# D5


@defect("D5", "an exhausted pool raises", raises=RedisConnectionError)
async def test_more_callers_than_connections_wait_their_turn(subject: Subject) -> None:
    """Ours has 50 connections by itself; ARQ's has no limit until one sets it."""
    async with (
        slow_line(subject.place.redis_url) as line,
        aclosing(await subject.make_pool(line.url, limit=2)) as pool,
    ):
        line.delay = 0.05

        runs = await asyncio.gather(
            *(subject.enqueue_with(pool, note) for _ in range(200)), return_exceptions=True
        )

    for run in runs:
        if isinstance(run, BaseException):
            raise run
    assert await subject.redis.zcard("arq:queue") == len(set(runs)) == 200


# D7


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path)
    try:
        await node.start()
        yield node
    finally:
        await asyncio.to_thread(node.stop)


@defect("D7", "no Redis Cluster", raises=ResponseError)
async def test_a_redis_cluster_takes_runs(subject: Subject, node: Node) -> None:
    """ARQ has no word for one; a node of it looks like any Redis to it."""
    (port,) = node.servers
    async with server_at(port) as server:  # ARQ does not decode a password: one without signs
        await server.acl_setuser(
            "desk", enabled=True, passwords="+desk", keys=["*"], commands=["+@all"]
        )
    url = f"{'redis+cluster' if subject.codec else 'redis'}://desk:desk@127.0.0.1:{port}"
    async with aclosing(await subject.make_pool(url)) as pool:
        run_id = await subject.enqueue_with(pool, note, {"text": "there"})
        await subject.start(redis_url=url)

        run = Job(run_id, pool, _deserializer=pool.job_deserializer)
        assert await run.result(timeout=15, poll_delay=0.02) == "there"


# D9


class ElsewhereError(Exception):
    """A worker connects to a Redis that nobody named."""


@defect("D9", "started again, a worker with a pool connects to localhost", raises=ElsewhereError)
async def test_a_worker_that_is_started_again_finds_its_redis(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--watch` does so after each change of a file."""

    async def connect(settings: RedisSettings | None = None, **_: Any) -> None:
        if settings is None:
            raise ElsewhereError(RedisSettings().host)

    monkeypatch.setattr(arq.worker, "create_pool", connect)
    pool = await subject.make_pool(subject.place.redis_url)
    worker = subject.build_for(redis_pool=pool, burst=True)
    await worker.main()
    await worker.close()

    run_id = await subject.enqueue(note, text="again")
    await worker.main()
    await worker.close()

    assert await subject.value(run_id) == "again"
