"""`deskhand queues`: exact, and as cheap with 100 000 runs as with none (Q-06)."""

import json
from pathlib import Path
from typing import Any, Protocol

import pytest

from jobs.kit import QUEUES
from tests.worker.conftest import Ledgered, StartWorker, until
from tests.worker.test_cli import in_process
from tests.worker.trouble_jobs import NAPS, fail
from tests.worker.trouble_servers import Load
from worker.enqueuer import Pool

NOTHING = {
    "waiting": 0,
    "delayed": 0,
    "blocked": 0,
    "active": 0,
    "succeeded": 0,
    "cancelled": 0,
    "expired": 0,
    "dead": 0,
    "retried": 0,
    "letters": 0,
}
# Runs on three queues: due, due later, being run.
HELD = {
    "default": (40_000, 9_100, 900),
    "email": (25_000, 15_000, 0),
    "sync": (0, 9_998, 2),
}


class Queues(Protocol):
    async def __call__(self, *arguments: str) -> str: ...


@pytest.fixture
def queues(redis_url: str, database_url: str) -> Queues:
    async def queues(*arguments: str) -> str:
        code, output = await in_process(
            "queues", *arguments, REDIS_URL=redis_url, DATABASE_URL=database_url
        )
        assert code == 0, output
        return output

    return queues


def by_name(output: str) -> dict[str, dict[str, Any]]:
    return {row.pop("queue"): row for row in json.loads(output)["queues"]}


async def fill(pool: Pool) -> None:
    """100 000 runs as the engine keeps them: who runs waits for the end of its lease."""
    seconds, _ = await pool.time()
    now = seconds * 1000
    for name, (due, later, running) in HELD.items():
        parts = {"due": (due, -1000), "later": (later, 3_600_000), "running": (running, 30_000)}
        await add(pool, QUEUES[name].key, parts, now)
        await pool.hset("deskhand:counts", f"{QUEUES[name].key} running", str(running))  # type: ignore[misc]  # redis-py: sync or async
    ended = {"arq:queue succeeded": 123_456, "arq:queue retrying": 7, "arq:queue:email dead": 3}
    await pool.hset("deskhand:counts", mapping=ended)  # type: ignore[misc]  # redis-py: sync or async


async def add(pool: Pool, key: str, parts: dict[str, tuple[int, int]], now: int) -> None:
    scores = {
        f"{part}-{number}": now + wait
        for part, (count, wait) in parts.items()
        for number in range(count)
    }
    names = list(scores)
    for start in range(0, len(names), 10_000):
        await pool.zadd(key, {name: scores[name] for name in names[start : start + 10_000]})


async def commands(pool: Pool) -> dict[str, int]:
    """How often each was called, by name, since it was forgotten."""
    stats = await pool.info("commandstats")
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


async def test_what_100_000_runs_come_to_is_exact_and_costs_a_few_commands(
    pool: Pool, queues: Queues
) -> None:
    await pool.config_resetstat()
    await queues("--json")
    without = await commands(pool)
    await fill(pool)
    await pool.config_resetstat()

    table = by_name(await queues("--json"))

    assert sum(map(sum, HELD.values())) == 100_000
    places = ("waiting", "delayed", "active")
    for name, row in table.items():
        held = dict(zip(places, HELD.get(name, (0, 0, 0)), strict=True))
        totals = {
            "default": {"succeeded": 123_456, "retried": 7},
            "email": {"dead": 3},
        }
        assert row == {**NOTHING, **held, **totals.get(name, {})}
    assert list(table) == list(QUEUES)
    spent = await commands(pool)
    assert spent["zcount"] == 2 * len(QUEUES)
    assert {name: spent[name] for name in without if name != "info"} == {
        name: calls for name, calls in without.items() if name != "info"
    }
    assert sum(spent.values()) < 100


async def test_what_real_runs_come_to_is_counted(
    start_worker: StartWorker,
    pool: Pool,
    queues: Queues,
    ledgered: Ledgered,
    tmp_path: Path,
) -> None:
    await start_worker()
    load = Load(pool, tmp_path / "marks")
    running = await load.add(NAPS["email"], seconds=30)
    await load.until(running, "begin")
    assert await load.result(await load.add(NAPS["default"])) == 1
    bad = await load.add(fail)
    await ledgered.dead_letter(load.handles[bad].job_id)
    await pool.enqueue_job(NAPS["risk"].name, marks=load.path, number=9, _defer_by=3600)

    async def has_beaten() -> bool:
        return bool(await pool.scard("deskhand:workers"))  # type: ignore[misc]  # redis-py: sync or async

    await until(has_beaten)
    output = await queues("--json")

    table = by_name(output)
    assert json.loads(output)["workers"] == 1
    assert table["email"] == {**NOTHING, "active": 1}
    assert table["default"] == {**NOTHING, "succeeded": 1, "dead": 1, "letters": 1}
    assert table["risk"] == {**NOTHING, "delayed": 1}


async def test_people_get_a_table(pool: Pool, queues: Queues) -> None:
    await pool.zadd("arq:queue:email", {"a": 1, "b": 2})

    head, *lines, last = (await queues()).splitlines()

    assert head.split() == ["queue", *NOTHING]
    assert [line.split()[0] for line in lines] == list(QUEUES)
    assert lines[1].split() == ["email", "2", *["0"] * (len(NOTHING) - 1)]
    assert len({len(line) for line in (head, *lines)}) == 1
    assert last == "0 workers"


async def test_a_redis_that_is_away_is_said(database_url: str) -> None:
    code, output = await in_process("queues", DATABASE_URL=database_url)

    assert code == 4
    assert output.startswith("a service is away: ")
