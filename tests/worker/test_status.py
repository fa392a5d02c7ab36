"""Every minute the log says what works and why not, whatever is away."""

import asyncio
import io
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
import pytest

from jobs.kit import QUEUES
from tests.conftest import MakeSettings
from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, SpawnValkey, StartWorker, until
from worker.background import cancel
from worker.clock import utc_now
from worker.engine.worker import Worker
from worker.enqueuer import Pool
from worker.parts import UnwellError, check_of
from worker.pausing import pause_queue
from worker.redis_pool import open_redis
from worker.runtime import open_runtime
from worker.sidecar.health import Health
from worker.status import TITLE, Line, Status
from worker.telemetry.logs import configure

NOON = datetime(2026, 11, 22, 12, 1, 30, tzinfo=UTC)
LINE = {"diary": "unused"}
QUEUE_NAMES = ("email", "sync")


@dataclass
class Scheduler:
    """A part of the process."""

    reason: str | None = None
    name: str = "scheduler"

    def status(self) -> str | None:
        return self.reason


class Broken:
    name = "broken"

    def status(self) -> str | None:
        raise KeyError("what it does")


class Services:
    """What health checks; both are up until told otherwise."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.skewed = False

    async def redis(self) -> dict[str, object]:
        self._raise("redis")
        return {"degraded": self.skewed}

    async def postgres(self) -> None:
        self._raise("postgres")

    def _raise(self, name: str) -> None:
        if name in self.away:
            raise OSError("connect to db.internal failed")


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
async def health(services: Services) -> AsyncIterator[Health]:
    health = Health(wall=NOON.timestamp)
    health.add("redis", services.redis)
    health.add("postgres", services.postgres)
    yield health
    await health.stop()


def status_of(redis: Pool, health: Health, **options: Any) -> Status:
    defaults = {"served": QUEUE_NAMES, "every": 60, "log_format": "text", "clock": lambda: NOON}
    return Status(redis, health, list(QUEUES.values()), **{**defaults, **options})


@pytest.fixture
async def status(pool: Pool, health: Health) -> Status:
    status = status_of(pool, health)
    await health.check_now()
    return status


async def told(status: Status) -> dict[str, str]:
    """The block's lines, by name; without latencies."""
    lines = {line.name: str(line) for line in await status.lines()}
    return {name: re.sub(r"\d+\.\d ms", "… ms", line) for name, line in lines.items()}


async def serve(pool: Pool, *queues: str, worker: str = "w1", **report: Any) -> None:
    """A heartbeat of a worker that serves these queues."""
    slots = dict.fromkeys(queues, 10)
    report = {"worker": worker, "running": {}, "slots": slots, **report}
    await pool.set(f"deskhand:worker:{worker}", orjson.dumps(report))
    await pool.sadd("deskhand:workers", worker)  # type: ignore[misc]  # redis-py: sync or async


async def enqueue_due(pool: Pool, run_id: str, *, age: float) -> None:
    due_at = utc_now() - timedelta(seconds=age)
    await pool.enqueue_job(testing_jobs.add_line.name, LINE, _job_id=run_id, _defer_until=due_at)


# What a block says


async def test_a_block_has_a_line_for_each_thing_that_works(status: Status) -> None:
    status.watch(Scheduler())

    lines = [re.sub(r"\d+\.\d ms", "… ms", str(line)) for line in await status.lines()]

    assert lines == [
        "✅ email: 0 running, 0 waiting",
        "✅ sync: 0 running, 0 waiting",
        "✅ scheduler: running",
        "✅ Redis: answers in … ms",
        "✅ PostgreSQL: answers in … ms",
    ]


async def test_done_and_failed_are_of_the_last_minute(pool: Pool, status: Status) -> None:
    status.rates.note({"email": {"succeeded": 1000, "dead": 7}, "sync": {}})
    counts = {
        "arq:queue:email succeeded": 1118,
        "arq:queue:email cancelled": 2,
        "arq:queue:email dead": 8,
    }
    await pool.hset("deskhand:counts", mapping=counts)  # type: ignore[misc]  # redis-py: sync or async

    assert (await told(status))["email"] == "✅ email: 0 running, 0 waiting, 120 done, 1 failed"


async def test_what_runs_and_waits_is_the_whole_clusters(
    start_worker: StartWorker, enqueue: Enqueue
) -> None:
    worker = await start_worker(queue_concurrency='{"default": 2}')
    other = await start_worker(queue_concurrency='{"default": 1}')
    for _ in range(5):
        await enqueue(testing_jobs.nap.name, seconds=3)
    status: Status = worker.ctx["runtime"].status

    async def all_taken() -> bool:
        return (await told(status))["default"].startswith("✅ default: 3 running, 2 waiting")

    await until(all_taken)
    assert (await told(other.ctx["runtime"].status))["worker"] == "✅ worker: running"


async def test_a_paused_queue_says_until_when(pool: Pool, status: Status) -> None:
    await pause_queue(pool, "email", until=utc_now() + timedelta(days=10_000))
    await pause_queue(pool, "sync")

    lines = await told(status)

    assert re.fullmatch(r"❌ email: paused until 20\d\d-\d\d-\d\d \d\d:\d\d UTC", lines["email"])
    assert lines["sync"] == "❌ sync: paused until it is resumed"


async def test_a_queue_that_nobody_serves_is_told_when_something_waits_in_it(
    pool: Pool, status: Status
) -> None:
    await serve(pool, "email", "sync")
    assert "default" not in await told(status)

    await enqueue_due(pool, "waits", age=-600)

    assert (await told(status))["default"] == "❌ default: no worker serves it"
    await serve(pool, "default", worker="w2")
    assert "default" not in await told(status)


async def test_an_older_worker_may_serve_what_nobody_else_says_to(
    pool: Pool, status: Status
) -> None:
    await pool.set("deskhand:worker:old", b'{"worker":"old","running":{}}')
    await pool.sadd("deskhand:workers", "old")  # type: ignore[misc]  # redis-py: sync or async
    await enqueue_due(pool, "waits", age=0)

    assert "default" not in await told(status)


async def test_a_run_that_stays_beside_free_slots_is_told(
    pool: Pool, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = status_of(pool, health, served=("default",))
    await serve(pool, "default")
    await enqueue_due(pool, "stays", age=300)
    first = (await told(status))["default"]

    monkeypatch.setattr("worker.status._LONG", 0.2)
    await asyncio.sleep(0.3)

    assert first == "✅ default: 0 running, 1 waiting"  # it may have come this instant
    assert re.fullmatch(
        r"❌ default: oldest run waits 30\d s with free slots", (await told(status))["default"]
    )


async def test_a_run_that_waits_for_a_slot_is_as_it_should_be(
    pool: Pool, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = status_of(pool, health, served=("default",))
    await serve(pool, "default", running={"default": 10})
    await enqueue_due(pool, "waits", age=300)
    await told(status)

    monkeypatch.setattr("worker.status._LONG", 0.2)
    await asyncio.sleep(0.3)

    assert (await told(status))["default"] == "✅ default: 0 running, 1 waiting, 0 done, 0 failed"


async def test_a_part_that_is_not_well_says_why(status: Status) -> None:
    status.watch(Scheduler("the last tick was due 90 s ago"))
    status.watch(Broken())

    lines = await told(status)

    assert lines["scheduler"] == "❌ scheduler: the last tick was due 90 s ago"
    assert lines["broken"] == "❌ broken: it cannot tell how it does (KeyError)"


async def test_a_worker_that_loses_its_leases_says_so(
    start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await start_worker()
    status: Status = worker.ctx["runtime"].status

    monkeypatch.setattr("worker.engine.keeper.Keeper.unrenewed", 34.2)

    assert (await told(status))["worker"] == "❌ worker: leases not renewed for 34 s"


async def test_postgres_that_is_away_says_since_when(
    status: Status, health: Health, services: Services
) -> None:
    services.away.add("postgres")
    await health.check_now()

    lines = await told(status)

    assert lines["PostgreSQL"] == "❌ PostgreSQL: away since 12:01 UTC"
    assert lines["email"].startswith("✅ email: ")


async def test_a_clock_that_differs_is_told(
    status: Status, health: Health, services: Services
) -> None:
    services.skewed = True
    await health.check_now()

    assert (await told(status))["Redis"] == "❌ Redis: its clock and this machine's differ"


# Redis is away


async def test_the_block_comes_when_redis_is_away_and_says_so(
    health: Health, services: Services
) -> None:
    nowhere = open_redis("redis://127.0.0.1:1", Pool)
    status = status_of(nowhere, health)
    await health.check_now()
    just_now = await told(status)
    services.away.add("redis")
    await health.check_now()

    later = await told(status)

    await nowhere.aclose()
    assert just_now["Redis"] == "❌ Redis: does not answer (ConnectionError)"
    assert just_now["email"] == "❌ email: Redis does not answer (ConnectionError)"
    assert later["Redis"] == "❌ Redis: away since 12:01 UTC"
    assert later["sync"] == "❌ sync: Redis away since 12:01 UTC"
    assert list(later) == ["email", "sync", "Redis", "PostgreSQL"]


async def test_a_redis_that_is_silent_does_not_hold_the_block_up(
    health: Health, spawn_valkey: SpawnValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.overview.TIMEOUT", 0.3)
    process, url = spawn_valkey()
    pool = open_redis(url, Pool)
    await pool.ping()
    process.send_signal(signal.SIGSTOP)

    async with asyncio.timeout(3):
        lines = await told(status_of(pool, health))

    process.send_signal(signal.SIGCONT)
    await pool.aclose()
    assert lines["Redis"] == "❌ Redis: does not answer (TimeoutError)"


# In the log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    yield io.StringIO()
    configure(level="info", fmt="text")


@asynccontextmanager
async def printing(
    status: Status, stream: io.StringIO, fmt: Literal["text", "json"]
) -> AsyncIterator[None]:
    configure(level="info", fmt=fmt, stream=stream)
    task = asyncio.create_task(status.run())
    try:
        yield
    finally:
        await cancel([task])


async def lines_of(stream: io.StringIO) -> Sequence[str] | None:
    lines = stream.getvalue().splitlines()
    return lines if any("PostgreSQL" in line for line in lines) else None


async def test_in_text_each_line_is_a_record_of_the_logs_form(
    pool: Pool, health: Health, stream: io.StringIO
) -> None:
    status = status_of(pool, health, every=0.1)
    status.watch(Scheduler("it sleeps"))
    await health.check_now()

    async with printing(status, stream, "text"):
        lines = await until(lambda: lines_of(stream))

    form = re.compile(r'\[\S+Z\] \[(INFO|WARNING)\] (.+) \{"correlation_id": "\w+"\}')
    found = [match.groups() for line in lines[:6] if (match := form.fullmatch(line))]
    assert found[:4] == [
        ("WARNING", "📊 Worker Status:"),
        ("INFO", "✅ email: 0 running, 0 waiting, 0 done, 0 failed"),
        ("INFO", "✅ sync: 0 running, 0 waiting, 0 done, 0 failed"),
        ("WARNING", "❌ scheduler: it sleeps"),
    ]
    assert [message.partition(":")[0] for _, message in found[4:]] == ["✅ Redis", "✅ PostgreSQL"]


async def test_in_json_the_block_is_one_record(
    pool: Pool, health: Health, stream: io.StringIO
) -> None:
    status = status_of(pool, health, every=0.1, log_format="json")
    status.watch(Scheduler("it sleeps"))
    await health.check_now()

    async with printing(status, stream, "json"):
        lines = await until(lambda: lines_of(stream))

    record = json.loads(lines[0])
    assert (record["message"], record["level"]) == (TITLE, "WARNING")
    assert record["workers"][1:] == [
        {"name": "sync", "is_well": True, "reason": None}
        | {"running": 0, "waiting": 0, "done": 0, "failed": 0},
        {"name": "scheduler", "is_well": False, "reason": "it sleeps"},
        {"name": "Redis", "is_well": True, "reason": None},
        {"name": "PostgreSQL", "is_well": True, "reason": None},
    ]


async def test_blocks_go_on_after_one_that_could_not_be_told(
    pool: Pool, health: Health, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = status_of(pool, health, every=0.1)
    await health.check_now()
    as_it_is = status.lines
    blocks = iter([ValueError("no"), None])

    async def lines() -> list[Line]:
        error = next(blocks, None)
        if error is not None:
            raise error
        return await as_it_is()

    monkeypatch.setattr(status, "lines", lines)
    async with printing(status, stream, "text"):
        await until(lambda: lines_of(stream))

    assert "The status could not be told" in stream.getvalue()


async def test_none_is_printed_when_nobody_wants_them(
    pool: Pool, health: Health, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.status.MINUTE", 0.1)
    status = status_of(pool, health, every=0, served=("default",))
    monkeypatch.setattr("worker.status._LONG", 0.0)
    await serve(pool, "default")
    await enqueue_due(pool, "stays", age=300)

    async def finds_it() -> bool:
        await health.check_now()
        return any(each.name == "queues" and each.is_failing for each in health.checked())

    async with printing(status, stream, "text"):
        await until(finds_it)

    assert TITLE not in stream.getvalue()


async def test_a_real_worker_prints_its_block(
    start_worker: StartWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = ""
    await start_worker(status_every=0.5, worker_queues="email,daily-brief")

    async def block() -> bool:
        nonlocal printed
        printed += capsys.readouterr().out
        return "✅ worker: running" in printed and "✅ PostgreSQL" in printed

    await until(block)
    assert TITLE in printed
    assert "✅ daily-brief: 0 running, 0 waiting, 0 done, 0 failed" in printed


# In health


async def test_a_part_shows_in_health_and_a_required_one_decides_readiness(
    pool: Pool, health: Health
) -> None:
    status = status_of(pool, health)
    optional, required = Scheduler("late"), Scheduler("late", name="required")
    status.watch(optional)
    await health.check_now()
    health.running()
    assert (health.ready().status, health.ready().body["status"]) == (200, "degraded")

    status.watch(required, required=True)

    assert health.ready().body["status"] == "starting"  # until it is checked
    await health.check_now()
    assert health.ready().body["status"] == "degraded"  # it has a grace
    optional.reason = required.reason = None
    await health.check_now()
    assert health.ready().body["status"] == "ok"


async def test_a_check_of_a_part_raises_its_reason() -> None:
    await check_of(Scheduler())()

    with pytest.raises(UnwellError, match="late"):
        await check_of(Scheduler("late"))()


async def test_a_stuck_queue_degrades_health_and_a_paused_one_does_not(
    pool: Pool, status: Status, health: Health
) -> None:
    health.running()
    await pause_queue(pool, "email")
    await status.lines()
    await health.check_now()
    assert health.ready().body["status"] == "ok"

    await enqueue_due(pool, "waits", age=0)
    await status.lines()
    await health.check_now()

    assert (health.ready().status, health.ready().body["status"]) == (200, "degraded")


async def test_of_several_processes_one_tells_of_the_queues(pool: Pool, health: Health) -> None:
    status = status_of(pool, health, tells_queues=False)
    status.watch(Scheduler())
    await health.check_now()

    assert list(await told(status)) == ["scheduler", "Redis", "PostgreSQL"]


async def is_over(worker: Worker) -> bool:
    return worker.main_task is not None and worker.main_task.done()


async def test_a_worker_that_ends_is_not_said_to_be_unwell(worker: Worker) -> None:
    engine = worker.engine
    assert engine is not None
    assert engine.status() is None

    worker.handle_sig(signal.SIGTERM)
    await until(lambda: is_over(worker))

    assert engine.status() is None


async def test_the_runtime_has_a_status_before_there_is_an_engine(
    make_settings: MakeSettings, pool: Pool
) -> None:
    async with open_runtime(make_settings(worker_queues="risk"), pool) as runtime:
        assert list(await told(runtime.status)) == ["risk", "Redis", "PostgreSQL"]


async def test_who_asks_soon_after_a_block_costs_redis_nothing(status: Status, pool: Pool) -> None:
    await status.lines()
    before = (await pool.info("stats"))["total_commands_processed"]

    seen = await status.overview(within=50)

    assert (await pool.info("stats"))["total_commands_processed"] == before + 1
    assert await status.overview(within=50) is seen
    assert await status.overview(within=-1) is not seen
