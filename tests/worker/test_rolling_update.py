"""Old and new versions of an application on one Redis, while it is updated under load (X-08)."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.worker.conftest import until
from tests.worker.rolling_jobs import SHARED
from tests.worker.trouble_jobs import Mark, marks_in
from tests.worker.trouble_servers import Workers, exit_code, workers_in

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

APP = "rolling_app"
NUMBERS = 120  # of each API, and as many that both are asked for
FIRST_OLD, FIRST_NEW = SHARED, 2 * SHARED
WORKERS = 3


@pytest.fixture
def workers(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Workers]:
    servers = {"database_url": database_url, "redis_url": redis_url}
    with workers_in(tmp_path, **servers, KEEP_COMPLETED="5000") as workers:
        yield workers


def start_api(marks: Path, redis_url: str, version: str, first: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.worker.rolling_app", str(marks), str(first)]
    return subprocess.Popen(
        [*command, str(NUMBERS)],
        env={**os.environ, "REDIS_URL": redis_url, "ROLLING_VERSION": version},
        text=True,
    )


@pytest.mark.timeout(150)  # runs that only the new version knows wait 5 to 15 s each time
async def test_a_rolling_update_under_load_loses_nothing_and_does_nothing_twice(
    workers: Workers, redis_url: str, db: "Db", tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    for _ in range(WORKERS):
        workers.start(module=APP, ROLLING_VERSION="old")
    for number in range(WORKERS):
        await workers.until_logged("Worker started", number)
    # The worst order: the new API is there before any worker of its version.
    apis = [
        start_api(marks, redis_url, "old", FIRST_OLD),
        start_api(marks, redis_url, "new", FIRST_NEW),
    ]
    try:
        await until(lambda: has_run(marks, 20))
        for number in range(WORKERS):
            workers.start(module=APP, ROLLING_VERSION="new")
            await workers.until_logged("Worker started", WORKERS + number)
            workers.processes[number].terminate()
            assert await exit_code(workers.processes[number], within=40) == 0
        for api in apis:
            assert await asyncio.to_thread(api.wait, 60) == 0
    finally:
        for api in apis:
            api.kill()
            api.wait()

    expected = expected_numbers()
    await until(lambda: are_over(db, len(expected)), within=60)
    check_marks(marks_in(marks), expected)
    await check_history(db, len(expected))


def expected_numbers() -> set[int]:
    shared = set(range(1, NUMBERS + 1))
    old, new = (set(range(first, first + NUMBERS)) for first in (FIRST_OLD, FIRST_NEW))
    asked = [number for pair in zip(sorted(shared), sorted(new), strict=True) for number in pair]
    return shared | old | new | {-number for number in asked[::10]}


async def has_run(marks: Path, count: int) -> bool:
    return len(marks_in(marks)) >= count


async def are_over(db: "Db", count: int) -> bool:
    over = "select count(*) from job_runs where state in ('succeeded', 'dead', 'cancelled')"
    return bool(await db.fetchval(over) >= count)


def check_marks(marks: list[Mark], expected: set[int]) -> None:
    """Each request was done once, by whoever; both versions did some under the old name."""
    for word in ("begin", "end"):
        times = Counter(mark.number for mark in marks if mark.event.startswith(word))
        assert times == dict.fromkeys(expected, 1)
    assert {mark.attempt for mark in marks} == {1}
    ended = {mark.number: mark.event.split(":")[1:] for mark in marks if "end" in mark.event}
    by_version = Counter(version for version, _ in ended.values())
    assert by_version["old"] > 0
    assert by_version["new"] > NUMBERS
    # What the new field said was lost nowhere, also when an old worker had the run in hand first.
    added = {number: what for number, (_, what) in ended.items() if number >= FIRST_NEW}
    assert added == dict.fromkeys(range(FIRST_NEW, FIRST_NEW + NUMBERS), "noted")
    assert {what for number, (_, what) in ended.items() if number < 0} == {"thanks"}


async def check_history(db: "Db", count: int) -> None:
    """All succeeded at their first attempt; some were given back before, which spent none."""
    states = await db.fetch("select state, attempt, count(*) from job_runs group by 1, 2")
    assert [tuple(row) for row in states] == [("succeeded", 1, count)]
    assert await db.fetchval("select count(*) from dead_letters") == 0
    outcomes = {row[0] for row in await db.fetch("select distinct outcome from job_attempts")}
    assert outcomes == {"succeeded", "released"}
    given_back = "select reason from job_runs where state = 'released'"
    assert await db.fetch(given_back) == []
