"""Workers of all versions say what they are, and each version reads all others'."""

import json
import os
import socket
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from jobs.kit import QUEUES
from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, StartWorker, until
from worker import __version__
from worker.clock import utc_now
from worker.engine.fleet import worker_reports, workers
from worker.engine.worker_report import OwnReport, WorkerReport
from worker.enqueuer import Pool

BEGAN = datetime(2026, 11, 22, 12, 1, tzinfo=UTC)


def test_what_a_worker_says_is_read_as_it_was_meant() -> None:
    own = OwnReport("w1", [QUEUES["email"], QUEUES["sync"]], started_at=BEGAN)

    written = orjson.dumps(own.now({"email": 3}, state="running", lag=0.0123))
    read = WorkerReport.read(json.loads(written))

    assert read is not None
    assert (read.worker, read.pid, read.host) == ("w1", os.getpid(), socket.gethostname()[:200])
    assert (read.version, read.started_at, read.state) == (__version__, BEGAN, "running")
    assert (read.running, read.slots, read.lag) == ({"email": 3}, {"email": 10, "sync": 3}, 0.012)
    assert read.rss is None or 1_000_000 < read.rss < 100_000_000_000
    assert len(written) < 1000


def test_free_slots_are_those_that_it_may_fill() -> None:
    said = {"worker": "w1", "running": {"email": 3}, "slots": {"email": 10, "sync": 3}}
    running, draining = WorkerReport.read(said), WorkerReport.read({**said, "state": "draining"})

    assert running is not None
    assert draining is not None
    assert [running.free(queue) for queue in ("email", "sync", "document")] == [7, 3, 0]
    assert draining.free("email") == 0
    assert [running.serves("sync"), running.serves("document")] == [True, False]


def test_an_older_workers_report_says_less_and_is_read() -> None:
    read = WorkerReport.read({"worker": "host:1:abc", "running": {"email": 2}, "pid": 7})

    assert read == WorkerReport(worker="host:1:abc", running={"email": 2}, pid=7)
    assert read.serves("email") is None
    assert read.free("email") == 0


@pytest.mark.parametrize(
    "nonsense",
    [
        {"running": 5, "pid": "seven", "state": "on fire", "started_at": "yesterday", "lag": -1},
        {"running": {"email": -1, "sync": True}, "pid": -1, "started_at": 12, "lag": "slow"},
        {"running": ["email"], "slots": [], "host": {}, "version": 3, "rss": 1.5, "state": []},
    ],
    ids=["values", "signs", "types"],
)
def test_what_makes_no_sense_is_left_out(nonsense: dict[str, object]) -> None:
    assert WorkerReport.read({"worker": "w1", **nonsense}) == WorkerReport(worker="w1", running={})


def test_what_a_stranger_wrote_is_cut() -> None:
    many = {f"queue {number}": 1 for number in range(1000)}

    read = WorkerReport.read({"worker": "w" * 5000, "running": many, "version": "9" * 5000})

    assert read is not None
    assert (len(read.worker), len(read.running), len(read.version or "")) == (200, 100, 200)
    assert WorkerReport.read({"worker": 1}) is None


async def test_a_worker_tells_its_slots_and_that_it_drains(
    pool: Pool, start_worker: StartWorker, enqueue: Enqueue
) -> None:
    before = utc_now()
    worker = await start_worker(worker_queues="default,email", queue_concurrency='{"email": 4}')
    await enqueue(testing_jobs.nap.name, seconds=7)

    async def report(state: str, running: int) -> WorkerReport | None:
        found = [each for each in await worker_reports(pool) if each.worker == worker.worker_id]
        wanted = [(each.state, sum(each.running.values())) for each in found] == [(state, running)]
        return found[0] if wanted else None

    told = await until(lambda: report("running", 1))
    worker.engine.pump.stop_claiming()  # type: ignore[union-attr] # it has started
    draining = await until(lambda: report("draining", 1))

    assert told.slots == {"default": 10, "email": 4}
    assert told.started_at is not None
    assert before - timedelta(seconds=1) <= told.started_at <= utc_now()
    assert told.free("default") == 9
    assert draining.free("default") == 0


async def test_a_fleet_of_versions_is_listed_and_strangers_are_not(pool: Pool) -> None:
    for name, said in (
        ("old", b'{"worker":"old","running":{},"pid":1}'),
        ("new", b'{"worker":"new","running":{},"slots":{"email":10},"colour":"red"}'),
        ("foreign", b'{"who":"me"}'),
        ("broken", b"{"),
    ):
        await pool.set(f"deskhand:worker:{name}", said)
        await pool.sadd("deskhand:workers", name)  # type: ignore[misc]  # redis-py: sync or async

    found = await worker_reports(pool)

    assert [(each.worker, each.serves("email")) for each in found] == [("new", True), ("old", None)]
    assert len(await workers(pool)) == 3  # as they are, for whoever only counts
