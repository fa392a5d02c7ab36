"""`python -m tests.benchmarks.outbox`: the outbox beside enqueuing after the commit.

    relay      rows a second that one relay moves to Redis, with a backlog; beside it `enqueue_job`
               one by one, of a stock ARQ pool and of ours, which is what one does after a commit
    requests   transactions a second of an API with one connection that write a row and enqueue a
               run: within the transaction, or after it
    pick-up    milliseconds from the end of a commit to the start of its run, on an idle worker;
               beside it from the end of a commit to the start of a run that is enqueued after it

Each round measures all of them in turn; figures are medians of the rounds. Linux only. Exits with 1
when a target is missed.
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TypeAlias

import asyncpg
import uvloop
from arq import create_pool as create_stock_pool
from arq.connections import ArqRedis, RedisSettings

from tests.benchmarks.orders import end_with_parent
from tests.benchmarks.peer import ROOT
from tests.benchmarks.peers.deskhand_job import run_job
from tests.benchmarks.servers import Servers, running_servers
from tests.benchmarks.tally import Tallies
from worker.background import cancel
from worker.codec import dumps, loads
from worker.enqueuer import Pool
from worker.migrate import migrate
from worker.outbox import enqueue_in, enqueue_many_in
from worker.outbox.relay import Relay
from worker.redis_pool import open_redis

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Figures: TypeAlias = dict[str, float]

_TEMPLATE = "outbox"
_PER_TRANSACTION = 100  # rows of the backlog
_PAUSE = 0.02  # seconds between two commits, on average
_WITHIN = 60.0  # seconds
_LEAST_RATE, _LONGEST_P99 = 5000, 50  # rows a second, ms
_ORDER = "insert into orders (note) values ('a row of the business')"


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="deskhand-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL of a root without namespaces runs as nobody
        with running_servers(directory) as servers:
            url = servers.create_database(_TEMPLATE)
            asyncio.run(_prepare(url))
            rounds = []
            for _ in range(options.rounds):
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    rounds.append(runner.run(_round(servers, directory, options)))
    return _report({key: statistics.median(one[key] for one in rounds) for key in rounds[0]})


async def _prepare(url: str) -> None:
    await migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute("create table orders (order_id bigserial primary key, note text)")
    await connection.close()


async def _round(servers: Servers, directory: Path, options: argparse.Namespace) -> Figures:
    servers.empty()
    url = await asyncio.to_thread(servers.fresh_database, _TEMPLATE)
    ours = open_redis(servers.redis_url, Pool)
    settings = RedisSettings.from_dsn(servers.redis_url)
    stock = await create_stock_pool(settings, job_serializer=dumps, job_deserializer=loads)
    figures: Figures = {}
    try:
        async with asyncpg.create_pool(url, min_size=2, max_size=4) as db:
            figures |= await _relay(db, ours, url, options.rows)
            for name, pool in (("stock", stock), ("ours", ours)):
                figures[f"one_by_one_{name}"] = await _one_by_one(pool, options.rows // 5)
            figures |= await _requests(db, stock, ours, options.requests)
            servers.empty()
            await db.execute("truncate outbox")
            async with _worker(servers.redis_url, url, directory, options.waits) as tallies:
                figures |= await _pick_up(db, ours, tallies, options.waits)
    finally:
        await ours.aclose()
        await stock.aclose()
    return figures


async def _relay(db: Db, pool: Pool, url: str, rows: int) -> Figures:
    """How fast one relay moves a backlog."""
    async with db.acquire() as connection:
        for start in range(0, rows, _PER_TRANSACTION):
            async with connection.transaction():
                payloads = [{"number": start + n} for n in range(_PER_TRANSACTION)]
                await enqueue_many_in(connection, run_job, payloads)
        await connection.execute("analyze outbox")
    moved: defaultdict[str, int] = defaultdict(int)
    is_done = asyncio.Event()

    def counted(status: str, number: int) -> None:
        moved[status] += number
        if moved["enqueued"] >= rows:
            is_done.set()

    relay = Relay(
        pool,
        db,
        connect=lambda: asyncpg.connect(url),
        in_hand=(),
        lease=timedelta(seconds=30),
        counted=counted,
    )
    began = monotonic()
    task = asyncio.create_task(relay.run())
    async with asyncio.timeout(_WITHIN):
        await is_done.wait()
    took = monotonic() - began
    await cancel([task])
    if (found := await pool.zcard("arq:queue")) != rows:
        raise SystemExit(f"{found} runs are queued, not {rows}")
    return {"relay": rows / took}


async def _one_by_one(pool: ArqRedis, number: int) -> float:
    began = monotonic()
    for at in range(number):
        await pool.enqueue_job(run_job.name, number=at)
    return number / (monotonic() - began)


async def _requests(db: Db, stock: ArqRedis, ours: Pool, number: int) -> Figures:
    """Transactions a second, each with a run."""

    async def within(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(_ORDER)
            await enqueue_in(connection, run_job, {"number": 1})

    async def after(pool: ArqRedis, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(_ORDER)
        await pool.enqueue_job(run_job.name, number=1)

    ways: dict[str, Callable[[Connection], Awaitable[None]]] = {
        "within": within,
        "after_stock": partial(after, stock),
        "after_ours": partial(after, ours),
    }
    figures: Figures = {}
    async with db.acquire() as connection:
        for name, way in ways.items():
            began = monotonic()
            for _ in range(number):
                await way(connection)
            figures[name] = number / (monotonic() - began)
    return figures


async def _pick_up(db: Db, pool: Pool, tallies: Tallies, number: int) -> Figures:
    """One at a time, by both ways in turn."""
    committed: dict[int, float] = {}
    async with db.acquire() as connection:
        for at in range(2 * number):
            await asyncio.sleep(_PAUSE * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            is_within = at % 2 == 0
            async with connection.transaction():
                await connection.execute(_ORDER)
                if is_within:
                    await enqueue_in(connection, run_job, {"number": at})
            committed[at] = monotonic()
            if not is_within:
                await pool.enqueue_job(run_job.name, number=at)
    async with asyncio.timeout(_WITHIN):
        while tallies.count() < 2 * number:
            await asyncio.sleep(0.05)
    noted = tallies.noted()
    if len(noted) != 2 * number or len({one.number for one in noted}) != 2 * number:
        raise SystemExit(f"{len(noted)} runs instead of {2 * number}")
    figures: Figures = {}
    for name, rest in (("outbox", 0), ("after", 1)):
        waits = [
            1000 * (one.begun - committed[one.number]) for one in noted if one.number % 2 == rest
        ]
        cuts = statistics.quantiles(waits, n=100, method="inclusive")
        figures |= {f"{name}_p50": cuts[49], f"{name}_p99": cuts[98], f"{name}_max": max(waits)}
    return figures


@asynccontextmanager
async def _worker(
    redis_url: str, database_url: str, directory: Path, number: int
) -> AsyncIterator[Tallies]:
    """A worker in a process of its own, that waits for runs."""
    place = Path(tempfile.mkdtemp(dir=directory))
    environment = {
        "PATH": os.defpath,
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "PORT": "0",
        "LOG_LEVEL": "warning",
        "VAR_DIR": str(place / "var"),
        "BENCH_TALLIES": str(place),
        "BENCH_CAPACITY": str(4 * number),
    }
    command = [sys.executable, "-m", "arq", "tests.benchmarks.peers.deskhand_app.WorkerSettings"]
    process = subprocess.Popen(  # noqa: ASYNC220 - it only starts it
        command,
        cwd=ROOT,
        env=environment,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - only a system call
    )
    try:
        tallies = Tallies(place)
        async with asyncio.timeout(_WITHIN):
            while not tallies.ready():
                await asyncio.sleep(0.05)
        await asyncio.sleep(2)  # it has said what it has to say
        yield tallies
    finally:
        process.kill()
        process.wait()


def _report(seen: Figures) -> int:
    one, stock = seen["one_by_one_ours"], seen["one_by_one_stock"]
    relay, p99 = seen["relay"], seen["outbox_p99"]
    is_missed = relay < _LEAST_RATE or p99 > _LONGEST_P99
    sys.stdout.write(
        f"relay     {relay:8,.0f} rows/s; {relay / stock:.1f} x enqueue_job of stock ARQ"
        f" ({stock:,.0f}/s), {relay / one:.1f} x of our pool ({one:,.0f}/s)\n"
        f"requests  {seen['within']:8,.0f} /s; {seen['within'] / seen['after_stock']:.2f} x commit,"
        f" then stock ARQ ({seen['after_stock']:,.0f}/s),"
        f" {seen['within'] / seen['after_ours']:.2f} x commit, then our pool"
        f" ({seen['after_ours']:,.0f}/s)\n"
        f"pick-up   p50 {seen['outbox_p50']:.1f} ms, p99 {p99:.1f} ms, at most"
        f" {seen['outbox_max']:.0f} ms; enqueued after the commit p50 {seen['after_p50']:.1f} ms,"
        f" p99 {seen['after_p99']:.1f} ms\n"
        f"targets   {_LEAST_RATE:,} rows/s, p99 {_LONGEST_P99} ms:"
        f" {'missed' if is_missed else 'reached'}\n"
    )
    return int(is_missed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.outbox",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=20_000, help="of the backlog")
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--waits", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
