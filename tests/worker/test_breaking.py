"""An error outside of any job: the process says so, gives its runs back, and ends with 1 (A-05)."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.worker.conftest import Ledgered
from tests.worker.telemetry.envelopes import SECRET, Envelopes, envelopes
from tests.worker.trouble_app import CANARY
from tests.worker.trouble_jobs import NAPS
from tests.worker.trouble_servers import Load, Workers, exit_code, workers_in
from worker.enqueuer import Pool


@pytest.fixture
async def stand_in() -> AsyncIterator[Envelopes]:
    async with envelopes() as stand_in:
        yield stand_in


@pytest.fixture
def workers(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Workers]:
    servers = {"database_url": database_url, "redis_url": redis_url}
    with workers_in(tmp_path, **servers, SHUTDOWN_GRACE="60") as workers:
        yield workers


@pytest.mark.parametrize(
    ("what", "error_type", "says"),
    [
        ("loop", "RuntimeError", "the loop broke"),
        ("pump", "EngineError", "pump has ended"),
        ("second lane", "EngineError", "second lane has ended"),
    ],
)
async def test_a_worker_that_breaks_says_so_gives_its_runs_back_and_ends_with_1(
    workers: Workers,
    stand_in: Envelopes,
    pool: Pool,
    ledgered: Ledgered,
    tmp_path: Path,
    what: str,
    error_type: str,
    says: str,
) -> None:
    load = Load(pool, tmp_path / f"marks-{CANARY}")
    process = workers.start("BreakingSettings", SERVICE_NAME="billing", SENTRY_DSN=stand_in.dsn)
    number = await load.add(NAPS["email"], seconds=60)
    await load.until(number, "begin")

    (tmp_path / "var" / f"break-{what}").touch()

    assert await exit_code(process) == 1
    run_id = load.handles[number].job_id
    assert (await ledgered.run(run_id, state="released"))["attempt"] == 1
    assert await pool.exists(f"arq:in-progress:{run_id}") == 0
    log = workers.log()
    assert log.count("[ERROR] The worker broke, and ends") == 1
    assert f"{error_type}: {says}" in log
    assert CANARY not in log
    assert SECRET not in log
    (event,) = stand_in.events
    (error,) = event["exception"]["values"]
    assert error["type"] == error_type
    assert error["value"].startswith(says)
    assert event["server_name"] == "billing"
    assert event["release"].startswith("deskhand@")
    (body,) = stand_in.bodies
    for secret in (CANARY, "ayse.isik", SECRET, str(tmp_path)):
        assert secret not in body.decode()


async def test_a_worker_that_breaks_without_sentry_ends_with_1_too(
    workers: Workers, tmp_path: Path
) -> None:
    process = workers.start("BreakingSettings")
    await workers.until_logged("Worker started")

    (tmp_path / "var" / "break-loop").touch()

    assert await exit_code(process) == 1
    assert "The worker broke, and ends" in workers.log()


async def test_a_worker_that_ends_well_tells_sentry_nothing(
    workers: Workers, stand_in: Envelopes, pool: Pool, tmp_path: Path
) -> None:
    load = Load(pool, tmp_path / "marks")
    process = workers.start(SENTRY_DSN=stand_in.dsn)
    number = await load.add(NAPS["default"])
    assert await load.result(number) == number

    process.terminate()

    assert await exit_code(process) == 0
    assert stand_in.bodies == []
