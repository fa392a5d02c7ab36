"""The plugin, as a project of a user would load it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.enqueuer import Pool

CONFTEST = """
import pytest
pytest_plugins = ["worker.testing.fixtures"]
"""
TEST = """
import pytest
from tests.worker.testing.rig_jobs import count_down
from worker.testing import assert_enqueued

@pytest.fixture
def rig_tools():
    return {"storage": "mine"}

async def test_rig(rig, rig_clock):
    assert rig.clock is rig_clock and rig.storage == "mine"
    assert (await rig.run(count_down, {"left": 2})).succeeded() == 2
    await assert_enqueued(rig, count_down, {"left": 1})

@pytest.mark.parametrize("again", [1, 2])
async def test_redis_rig(redis_rig, again):
    await redis_rig.pool.enqueue_job(count_down.name, {"left": 2})
    assert [one.succeeded() for one in await redis_rig.drain()] == [2, 1, 0]
"""


def run_pytest(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TEST)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    options = ["-q", "-p", "no:randomly", "-p", "no:valkey", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    return made


def test_the_fixtures_work_without_any_server_of_the_users(folder: Path) -> None:
    done = run_pytest(folder)

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


async def test_a_redis_that_holds_something_is_refused(
    folder: Path, pool: Pool, redis_url: str
) -> None:
    done = await asyncio.to_thread(run_pytest, folder, REDIS_URL=redis_url)
    assert done.returncode == 0, done.stdout
    assert await pool.dbsize() == 0
    await pool.set("theirs", "1")

    done = await asyncio.to_thread(run_pytest, folder, REDIS_URL=redis_url)

    assert done.returncode == 1
    assert await pool.get("theirs") == b"1"
    assert "holds 1 keys, and tests empty it" in done.stdout


def test_nothing_but_the_fixtures_needs_pytest() -> None:
    script = "import sys, worker.testing; sys.exit('pytest' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
