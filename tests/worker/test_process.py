"""`arq …WorkerSettings` as a process: its exit codes, its signals and what it prints."""

import asyncio
import json
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import Popen
from time import monotonic
from typing import TYPE_CHECKING, Any

import arq
import asyncpg
import pytest
from arq.jobs import Job, JobStatus

from tests.conftest import with_database
from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, Ledgered, SpawnWorker, until
from worker.codec import dumps, loads
from worker.enqueuer import Pool
from worker.message import correlation_id

if TYPE_CHECKING:
    Db = asyncpg.Pool[asyncpg.Record]

LINE = re.compile(
    r"\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\] \[(DEBUG|INFO|WARNING|ERROR)\] ([^{}]+) (\{.*\})"
)
CANARY = "kanarya-7f3a9c"
NO_REDIS, NO_POSTGRES = "redis://127.0.0.1:1", "postgresql://app@127.0.0.1:1/app"
NAP = testing_jobs.nap.name


async def exit_code(process: "Popen[str]") -> int:
    return await asyncio.to_thread(process.wait, 40)


class Log:
    """What the worker that was started first has printed."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def text(self) -> str:
        return self._file.read_text() if self._file.exists() else ""

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every line; one that has another format fails the test."""
        found = [(line, LINE.fullmatch(line)) for line in self.text.splitlines()]
        assert [line for line, match in found if match is None] == []
        return [
            {"at": match[1], "level": match[2], "message": match[3], **json.loads(match[4])}
            for _, match in found
            if match is not None
        ]

    def of(self, run_id: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record.get("run_id") == run_id]

    async def says(self, sentence: str) -> bool:
        return sentence in self.text

    async def until(self, sentence: str) -> None:
        await until(lambda: self.says(sentence))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "worker-0.log")


async def exists(path: Path) -> bool:
    return path.exists()


@asynccontextmanager
async def empty_database(url: str) -> AsyncIterator[str]:
    """A database on the same server that nobody has migrated."""
    connection = await asyncpg.connect(url)
    name = f"{await connection.fetchval('select current_database()')}_empty"
    await connection.execute(f'create database "{name}" template template1')
    yield with_database(url, name)
    await connection.execute(f'drop database "{name}" with (force)')
    await connection.close()


async def test_two_urls_are_all_it_needs(
    spawn_worker: SpawnWorker, pool: Pool, enqueue: Enqueue
) -> None:
    spawn_worker()

    handle = Job(await enqueue("testing.add_line"), pool, _deserializer=loads)

    assert (await handle.result(timeout=20, poll_delay=0.02))["lines"] == 1
    assert await handle.status() is JobStatus.complete


async def test_burst_ends_with_0_when_the_queues_are_empty(
    spawn_worker: SpawnWorker, enqueue: Enqueue, db: "Db", pool: Pool
) -> None:
    for _ in range(25):
        await enqueue("testing.add_line")
    await pool.enqueue_job("testing.ship_order", {"order_id": 1})

    code = await exit_code(spawn_worker("--burst"))

    assert code == 0
    states = await db.fetch("select state, count(*) from job_runs group by state")
    assert [tuple(row) for row in states] == [("succeeded", 26)]


async def test_check_tells_whether_a_worker_runs(spawn_worker: SpawnWorker, log: Log) -> None:
    assert await exit_code(spawn_worker("--check")) == 1

    worker = spawn_worker()
    codes = [await checked(spawn_worker, until_it_is=0)]
    worker.kill()

    assert codes == [0]


async def checked(
    spawn_worker: SpawnWorker, *, until_it_is: int | None = None, **settings: str
) -> int:
    async def once() -> str:
        code = await exit_code(spawn_worker("--check", **settings))
        return str(code) if until_it_is in (code, None) else ""

    return int(await until(once))


async def test_check_looks_for_the_queues_that_are_served(
    spawn_worker: SpawnWorker, log: Log, pool: Pool
) -> None:
    spawn_worker(WORKER_QUEUES="email")
    await until(lambda: pool.exists("arq:queue:email:health-check"))

    code = await checked(spawn_worker, WORKER_QUEUES="email")

    assert code == 0


async def test_check_knows_at_once_that_a_worker_has_stopped(
    spawn_worker: SpawnWorker, log: Log
) -> None:
    worker = spawn_worker()
    await checked(spawn_worker, until_it_is=0)
    worker.terminate()
    assert await exit_code(worker) == 0

    code = await checked(spawn_worker)

    assert code == 1


async def test_wrong_settings_are_one_line_each(spawn_worker: SpawnWorker, log: Log) -> None:
    wrong = {"PORT": "99999", "LOG_LEVEL": "loud", "DATABASE_URL": f"mysql://{CANARY}"}

    code = await exit_code(spawn_worker(**wrong, EMAIL_PROVIDER="smoke", WORKER_QUEUES="nope"))

    head, *problems = log.text.splitlines()
    assert code != 0
    assert head == "deskhand cannot start with these settings:"
    names = ["DATABASE_URL", "EMAIL_PROVIDER", "LOG_LEVEL", "PORT", "WORKER_QUEUES"]
    assert sorted(problem.partition(": ")[0] for problem in problems) == names
    assert CANARY not in log.text


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set; `deskhand run` can start a private"),
        ({"REDIS_URL": ""}, "REDIS_URL is not set; `deskhand run` can start a private Redis"),
        ({"DATABASE_URL": "", "REDIS_URL": ""}, "REDIS_URL is not set"),
    ],
)
async def test_a_missing_url_is_a_sentence(
    spawn_worker: SpawnWorker, log: Log, settings: dict[str, str], sentence: str
) -> None:
    assert await exit_code(spawn_worker(**settings)) == 1

    assert log.text.startswith(f"deskhand cannot start: {sentence}")
    assert len(log.text.splitlines()) == 1


async def test_a_database_that_lacks_migrations_is_a_sentence(
    spawn_worker: SpawnWorker, log: Log, database_url: str
) -> None:
    async with empty_database(database_url) as url:
        code = await exit_code(spawn_worker(DATABASE_URL=url))

    assert code == 1
    (line,) = log.text.splitlines()
    assert re.fullmatch(r"deskhand cannot start: the database lacks \d+ migrations .*", line)
    assert line.endswith("0001_create_runs …): run `deskhand migrate`")


async def test_a_port_that_is_taken_is_a_sentence(spawn_worker: SpawnWorker, log: Log) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = await exit_code(spawn_worker(PORT=str(port)))

    assert code == 1
    assert log.text == (
        f"deskhand cannot start: 127.0.0.1:{port} is taken by another process: "
        "stop it, or set PORT to a free one\n"
    )


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"REDIS_URL": NO_REDIS}, "Redis (REDIS_URL)"),
        pytest.param(
            {"DATABASE_URL": NO_POSTGRES},
            "PostgreSQL (DATABASE_URL)",
        ),
    ],
)
async def test_a_server_that_is_not_there_is_a_sentence_after_a_while(
    spawn_worker: SpawnWorker, log: Log, settings: dict[str, str], name: str
) -> None:
    assert await exit_code(spawn_worker(**settings, START_TIMEOUT="0.5")) == 1

    (line,) = log.text.splitlines()
    assert line.startswith(f"deskhand cannot start: {name} does not answer")


@pytest.mark.parametrize("settings", [{"REDIS_URL": NO_REDIS}, {"DATABASE_URL": NO_POSTGRES}])
async def test_a_worker_that_waits_for_a_server_still_hears_signals(
    spawn_worker: SpawnWorker, log: Log, settings: dict[str, str]
) -> None:
    worker = spawn_worker(**settings)
    await until(lambda: catches(worker.pid, signal.SIGTERM))

    worker.terminate()

    assert await exit_code(worker) == 0
    assert "Traceback" not in log.text


async def test_the_first_lines_have_the_format_too(spawn_worker: SpawnWorker, log: Log) -> None:
    worker = spawn_worker(REDIS_URL=NO_REDIS)
    await until(lambda: catches(worker.pid, signal.SIGTERM))
    worker.terminate()
    await exit_code(worker)

    assert [record["message"] for record in log.records] == ["Stopping"]


async def catches(pid: int, signum: signal.Signals) -> bool:
    (mask,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) >> (signum - 1) & 1)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_runs_finish_and_ends_with_0(
    spawn_worker: SpawnWorker, enqueue: Enqueue, db: "Db", diary: Path, signum: signal.Signals
) -> None:
    worker = spawn_worker()
    run_id = await enqueue(NAP, seconds=1)
    await until(lambda: exists(diary))

    worker.send_signal(signum)

    assert await exit_code(worker) == 0
    assert diary.read_text().splitlines() == ["1 begin", "1 end"]
    # Written before the end, not by another worker.
    run = await db.fetchrow("select state, attempt from job_runs where run_id = $1", run_id)
    assert run is not None
    assert tuple(run) == ("succeeded", 1)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_gives_runs_back_at_once(
    spawn_worker: SpawnWorker,
    enqueue: Enqueue,
    ledgered: Ledgered,
    diary: Path,
    log: Log,
    signum: signal.Signals,
) -> None:
    worker = spawn_worker(SHUTDOWN_GRACE="60")
    run_id = await enqueue(NAP, seconds=60)
    await until(lambda: exists(diary))
    worker.send_signal(signum)
    await log.until("Finishing runs in hand")

    began = monotonic()
    worker.send_signal(signum)
    code = await exit_code(worker)

    assert code == 0
    assert monotonic() - began < 3
    assert (await ledgered.run(run_id, state="released"))["attempt"] == 1


async def test_a_run_that_was_given_back_is_due_at_once(
    spawn_worker: SpawnWorker, enqueue: Enqueue, pool: Pool, diary: Path, log: Log
) -> None:
    worker = spawn_worker(SHUTDOWN_GRACE="0")
    run_id = await enqueue(NAP, seconds=60)
    await until(lambda: exists(diary))

    worker.terminate()
    await exit_code(worker)

    seconds, _ = await pool.time()
    due_ms = await pool.zscore("arq:queue", run_id)
    assert due_ms is not None
    assert due_ms / 1000 <= seconds + 1
    assert await pool.exists(f"arq:in-progress:{run_id}") == 0
    assert await pool.get(f"arq:retry:{run_id}") == b"0"


async def test_the_lines_of_a_run_have_their_format(
    spawn_worker: SpawnWorker, enqueue: Enqueue, ledgered: Ledgered, log: Log
) -> None:
    spawn_worker()
    run_id = await enqueue("testing.add_line")
    await log.until("Run succeeded")

    correlation = (await ledgered.run(run_id, state="succeeded"))["correlation_id"]
    (end,) = log.of(run_id)
    assert (end["message"], end["level"]) == ("Run succeeded", "INFO")
    assert (end["job"], end["queue"]) == ("testing.add_line", "default")
    assert (end["attempt"], end["correlation_id"]) == (1, correlation)
    assert 0 <= end["wait_ms"] < 20_000
    assert 0 <= end["duration_ms"] < 10_000


async def test_debugging_shows_the_start_of_a_run_too(
    spawn_worker: SpawnWorker, enqueue: Enqueue, log: Log
) -> None:
    spawn_worker(LOG_LEVEL="debug")
    run_id = await enqueue("testing.add_line")
    await log.until("Run succeeded")

    begin, end = log.of(run_id)
    assert (begin["message"], end["message"]) == ("Run started", "Run succeeded")
    assert begin["correlation_id"] == end["correlation_id"]


@pytest.mark.parametrize(("log_runs", "lines"), [("problems", ["Run cancelled"]), ("none", [])])
async def test_which_runs_are_logged_can_be_chosen(
    spawn_worker: SpawnWorker, enqueue: Enqueue, log: Log, log_runs: str, lines: list[str]
) -> None:
    run_ids = {await enqueue("testing.add_line"), await enqueue("testing.cancel")}

    assert await exit_code(spawn_worker("--burst", LOG_RUNS=log_runs)) == 0

    messages = [record["message"] for run_id in run_ids for record in log.of(run_id)]
    assert messages == lines


async def test_the_lines_of_a_failure_name_error_and_attempt(
    spawn_worker: SpawnWorker, enqueue: Enqueue, log: Log
) -> None:
    spawn_worker()
    run_id = await enqueue("testing.fail")
    await log.until("Run dead-lettered")

    ends = [record for record in log.of(run_id) if "duration_ms" in record]
    assert [(r["level"], r["attempt"]) for r in ends] == [
        ("WARNING", 1),
        ("WARNING", 2),
        ("ERROR", 3),
    ]
    error = ends[-1]["error"]
    assert (error["type"], error["message"]) == ("ValueError", "attempt 3 went wrong")
    assert "in fail\n" in error["stack"]


async def test_a_child_run_has_the_correlation_id_of_the_request(
    spawn_worker: SpawnWorker, enqueue: Enqueue, db: "Db", log: Log
) -> None:
    token = correlation_id.set("request-42")
    await enqueue("testing.pass_on")
    correlation_id.reset(token)

    assert await exit_code(spawn_worker("--burst")) == 0

    ended = [record for record in log.records if record["message"] == "Run succeeded"]
    assert [(record["job"], record["correlation_id"]) for record in ended] == [
        ("testing.pass_on", "request-42"),
        ("testing.add_line", "request-42"),
    ]


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("log_level", ["info", "debug"])
async def test_no_value_of_a_payload_reaches_the_log(
    spawn_worker: SpawnWorker, pool: Pool, log: Log, tmp_path: Path, log_format: str, log_level: str
) -> None:
    stock = arq.ArqRedis(connection_pool=pool.connection_pool, job_serializer=dumps)
    await pool.enqueue_job("testing.ship_order", {"order_id": 47110815, "note": CANARY})
    await pool.enqueue_job("testing.fail", {"diary": str(tmp_path / CANARY)})
    email = "arq:queue:email"
    await stock.enqueue_job("testing.ship_order", {"order_id": CANARY}, _queue_name=email)
    await stock.enqueue_job("testing.of_tomorrow", {"note": CANARY})

    settings = {"LOG_FORMAT": log_format, "LOG_LEVEL": log_level, "UNKNOWN_JOB_GRACE": "0"}
    worker = spawn_worker(**settings)
    await until(lambda: has_each(log, "Run succeeded", "Run given back", "attempts_spent"))
    worker.terminate()
    assert await exit_code(worker) == 0

    assert "order_id" in log.text  # the field that is wrong is named
    assert CANARY not in log.text
    # ARQ's own lines, with arguments and results: `→ id:testing.ship_order({…})`, `← … ● …`.
    assert not re.search(r"[→←●]|ship_order\(", log.text)


async def has_each(log: Log, *sentences: str) -> bool:
    return all(sentence in log.text for sentence in sentences)


async def test_json_lines_hold_the_same(
    spawn_worker: SpawnWorker, enqueue: Enqueue, log: Log
) -> None:
    run_id = await enqueue("testing.add_line")

    await exit_code(spawn_worker("--burst", LOG_FORMAT="json"))

    lines = [json.loads(line) for line in log.text.splitlines()]
    assert all(list(line)[:4] == ["timestamp", "level", "message", "logger"] for line in lines)
    (end,) = [line for line in lines if line.get("run_id") == run_id]
    assert end["message"] == "Run succeeded"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", end["timestamp"])
    assert isinstance(end["duration_ms"], int)
