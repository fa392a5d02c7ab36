"""`python -m tests.benchmarks.controls`: what limits, order and fairness cost.

    drain       jobs a second of one process with 100 slots, that do nothing, without controls
    beside      the same while 100 000 runs of 1 000 keys wait that are over their rate limit
    idle        Redis commands a second of a worker that has nothing else than those
    with …      the same drain of runs that have a control, each beside the plain drain

Each round measures all of them in turn; figures are medians of the rounds, and the ratios are to
the plain drain of the same round. Linux only. Exits with 1 when a target is missed.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import uvloop

from jobs.kit import Job
from tests.benchmarks.orders import end_with_parent
from tests.benchmarks.peer import ROOT
from tests.benchmarks.peers import controlled_jobs as jobs
from tests.benchmarks.servers import Servers, running_servers
from tests.benchmarks.tally import Tallies, prove
from worker.enqueuer import Pool
from worker.migrate import migrate
from worker.redis_pool import open_redis

Figures: TypeAlias = dict[str, float]
Payloads: TypeAlias = Callable[[int], dict[str, Any]]

_TEMPLATE = "controls"
_SLOTS = 100
_BLOCKED, _KEYS = 100_000, 1_000
_IDLE_SECONDS = 10.0
_WITHIN = 120.0  # seconds
_LEAST_SHARE, _MOST_COMMANDS = 0.8, 10


def _keyed(keys: int) -> Payloads:
    return lambda number: {"number": number, "key": str(number % keys)}


def _of_tenants(tenants: int) -> Payloads:
    return lambda number: {"number": number, "tenant_id": str(UUID(int=number % tenants))}


# By what is printed: the job, its payloads, and how large a part of the runs one measures.
_CONTROLS: dict[str, tuple[Job[Any, Any], Payloads, float]] = {
    "a rate limit, 100 keys": (jobs.RATED, _keyed(100), 1),
    "10 places a key, 100 keys": (jobs.SHARED, _keyed(100), 1),
    "one after the other, 1000 keys": (jobs.ORDERED, _keyed(1000), 0.5),
    "a priority": (jobs.PREFERRED, _keyed(1), 1),
    "turns of 1 tenant": (jobs.of_tenant, _of_tenants(1), 1),
    "turns of 100 tenants": (jobs.of_tenant, _of_tenants(100), 1),
}


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="deskhand-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL of a root without namespaces runs as nobody
        with running_servers(directory) as servers:
            asyncio.run(migrate(servers.create_database(_TEMPLATE)))
            rounds = []
            for _ in range(options.rounds):
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    rounds.append(runner.run(_round(servers, directory, options.runs)))
    return _report({key: statistics.median(one[key] for one in rounds) for key in rounds[0]})


@dataclass(frozen=True)
class _Stage:
    servers: Servers
    directory: Path
    pool: Pool
    database_url: str


async def _round(servers: Servers, directory: Path, runs: int) -> Figures:
    pool = open_redis(servers.redis_url, Pool)
    url = await asyncio.to_thread(servers.fresh_database, _TEMPLATE)
    stage = _Stage(servers, directory, pool, url)
    figures: Figures = {}
    try:
        # Once to warm up: the first of a round finds another machine than the next.
        for name in ("warm", "plain"):
            servers.empty()
            figures[name] = await _drain(stage, jobs.PLAIN, _keyed(1), runs)
        servers.empty()
        await pool.enqueue_many(jobs.BLOCKED.name, [_keyed(_KEYS)(n) for n in range(_BLOCKED)])
        with _worker(stage, _BLOCKED):
            await _until_blocked(pool, _BLOCKED - _KEYS)
            await asyncio.sleep(3)
            figures["idle"] = await _commands_a_second(pool)
        figures["beside"] = await _drain(stage, jobs.PLAIN, _keyed(1), runs)
        for name, (job, payloads, share) in _CONTROLS.items():
            servers.empty()
            rate = await _drain(stage, job, payloads, int(runs * share))
            figures[name] = rate / figures["plain"]
        figures["share"] = figures["beside"] / figures["plain"]
    finally:
        await pool.aclose()
    return figures


async def _until_blocked(pool: Pool, runs: int) -> None:
    async with asyncio.timeout(_WITHIN):
        while int(await pool.hget("deskhand:counts", "arq:queue blocked") or 0) < runs:  # type: ignore[misc]  # redis-py: sync or async
            await asyncio.sleep(0.2)


async def _commands_a_second(pool: Pool) -> float:
    before = (await pool.info("stats"))["total_commands_processed"]
    await asyncio.sleep(_IDLE_SECONDS)
    after = (await pool.info("stats"))["total_commands_processed"]
    return float(after - before - 1) / _IDLE_SECONDS


async def _drain(stage: _Stage, job: Job[Any, Any], of: Payloads, runs: int) -> float:
    """Jobs a second, from the first start to the last end; each has to run once."""
    await stage.pool.enqueue_many(job.name, [of(number) for number in range(runs)])
    with _worker(stage, runs) as tallies:
        await _until(lambda: tallies.ready() > 0 and tallies.count() >= runs)
        await asyncio.sleep(0.2)
        noted = tallies.noted()
    proof = prove(range(runs), noted)
    if proof.lost or proof.doubled or proof.foreign:
        raise SystemExit(f"{job.name}: {proof}")
    return runs / (max(one.ended for one in noted) - min(one.begun for one in noted))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WITHIN):
        while not condition():
            await asyncio.sleep(0.05)


@contextmanager
def _worker(stage: _Stage, capacity: int) -> Iterator[Tallies]:
    """A worker in a process of its own."""
    place = Path(tempfile.mkdtemp(dir=stage.directory))
    environment = {
        "PATH": os.defpath,
        "REDIS_URL": stage.servers.redis_url,
        "DATABASE_URL": stage.database_url,
        "PORT": "0",
        "LOG_LEVEL": "warning",
        "LOG_RUNS": "none",
        "VAR_DIR": str(place / "var"),
        "WORKER_QUEUES": "default",
        "QUEUE_CONCURRENCY": json.dumps({"default": _SLOTS}),
        "BENCH_TALLIES": str(place),
        "BENCH_CAPACITY": str(capacity),
    }
    command = [sys.executable, "-m", "arq", "tests.benchmarks.peers.deskhand_app.WorkerSettings"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - only a system call
    )
    try:
        yield Tallies(place)
    finally:
        process.kill()
        process.wait()


def _report(seen: Figures) -> int:
    is_missed = seen["share"] < _LEAST_SHARE or seen["idle"] > _MOST_COMMANDS
    blocked = f"{_BLOCKED - _KEYS:,} blocked runs of {_KEYS:,} keys"
    verdict = "missed" if is_missed else "reached"
    lines = [
        f"drain     {seen['plain']:8,.0f} jobs/s without controls",
        f"beside    {seen['beside']:8,.0f} jobs/s beside {blocked}: {seen['share']:.0%} of that",
        f"idle      {seen['idle']:8.1f} Redis commands/s of a worker with nothing but those",
        *(f"with {name:32} {seen[name]:5.0%}" for name in _CONTROLS),
        f"targets   {_LEAST_SHARE:.0%} beside blocked, {_MOST_COMMANDS} commands/s: {verdict}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(is_missed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.controls",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=40_000, help="of each drain")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
