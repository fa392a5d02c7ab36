"""A Redis that is killed and comes back, with what it had written down, under a working worker."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.worker.conftest import StartWorker, until
from tests.worker.ledger.records import put_together
from tests.worker.testing_jobs import add_line, nap
from tests.worker.trouble_servers import answers
from worker.embedded_binaries import find_valkey
from worker.enqueuer import Pool
from worker.events import follow
from worker.redis_pool import open_redis

Restart = Callable[[], None]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def restart(port: int, tmp_path: Path) -> Iterator[Restart]:
    """Start the server of this test; again, after killing it."""
    place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    running: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        for process in running:
            process.kill()
            process.wait()

    def restart() -> None:
        kill()
        options = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command = [str(find_valkey()), *place, *options]
        running[:] = [subprocess.Popen(command, stdout=subprocess.DEVNULL)]

    restart()
    yield restart
    kill()


async def test_a_run_in_hand_survives_a_redis_that_is_killed_and_the_next_one_runs(
    restart: Restart, port: int, start_worker: StartWorker, tmp_path: Path
) -> None:
    url, diary = f"redis://127.0.0.1:{port}", tmp_path / "diary"
    await start_worker(redis_url=url)
    pool = open_redis(url, Pool)
    first = await pool.enqueue_job(nap.name, {"diary": str(diary), "seconds": 1})
    assert first is not None
    await until(lambda: asyncio.to_thread(diary.exists))

    await asyncio.to_thread(restart)
    await until(lambda: answers(pool))

    assert await first.result(timeout=20, poll_delay=0.05) == "rested"
    second = await pool.enqueue_job(add_line.name, {"diary": str(diary)})
    assert second is not None
    assert (await second.result(timeout=20, poll_delay=0.05))["lines"] == 3
    assert diary.read_text().split("\n")[:2] == ["1 begin", "1 end"]
    await pool.aclose()


async def test_who_follows_events_goes_on_after_a_redis_that_was_killed(
    restart: Restart, port: int
) -> None:
    url = f"redis://127.0.0.1:{port}"
    pool = open_redis(url, Pool)
    await until(lambda: answers(pool))
    await put_together(pool, {b"+arq:queue\na.job": b"before"})

    async with aclosing(follow(pool)) as events:
        assert (await anext(events)).run_id == "before"
        after = asyncio.create_task(anext(events))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(restart)
        await until(lambda: answers(pool))
        await put_together(pool, {b">arq:queue\nw\n1": b"before"})

        event = await asyncio.wait_for(after, 20)

    assert (event.run_id, event.job) == ("before", "a.job")
    await pool.aclose()


async def test_who_follows_goes_on_also_before_there_was_any_event(
    restart: Restart, port: int
) -> None:
    url = f"redis://127.0.0.1:{port}"
    pool = open_redis(url, Pool)
    await until(lambda: answers(pool))

    async with aclosing(follow(pool)) as events:
        first = asyncio.create_task(anext(events))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(restart)
        await until(lambda: answers(pool))
        await put_together(pool, {b"+arq:queue\na.job": b"run"})

        assert (await asyncio.wait_for(first, 20)).run_id == "run"
    await pool.aclose()
