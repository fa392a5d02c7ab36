"""`python -m tests.benchmarks.http`: enqueues over HTTP, and pages of a million runs.

    enqueues  10 000 requests of 50 keep-alive clients with ADMIN_TOKEN, each one run of a job:
        running   to a worker process, which runs them all meanwhile; each has to run, once
        deskhand  to a worker process that serves another queue
        bare      to an aiohttp handler that does nothing else than stock ARQ's `enqueue_job`
        stock     no HTTP: stock ARQ's `enqueue_job` from 50 coroutines of this process
    pages     kinds of pages (see `tests.benchmarks.history`), the first one and a deep one, one
              after the other, and single answers

Enqueues are measured in turn, again and again; figures are medians of the rounds, in milliseconds.
Linux only. Exits with 1 when a run is lost, or the median of a kind of page misses 50 ms.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import asyncpg
from arq import create_pool
from arq.connections import RedisSettings

from tests.benchmarks import history
from tests.benchmarks.http_client import HttpClient, get, post
from tests.benchmarks.http_servers import Port, bare_server, worker_server
from tests.benchmarks.loop import run
from tests.benchmarks.measure import Busyness, cpu_seconds
from tests.benchmarks.peers.http_job import NAME
from tests.benchmarks.servers import Servers, running_servers
from tests.benchmarks.tally import prove
from tests.saying import say
from worker.history import Cursor
from worker.migrate import migrate
from worker.sidecar.api.paging import cursor

_TEMPLATE = "http"
_CLIENTS = 50
_PAGE = 50
_TARGET = 50.0  # ms
_WITHIN = 120.0  # seconds
_RUNS = "/api/v1/runs"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Enqueued:
    """Milliseconds of each request, how many there were a second, CPU time of the server's each.

    The latter in microseconds, and of the process that enqueues, when there is no server.
    """

    times: list[float]
    rate: float
    cpu: float


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="deskhand-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL of a root without namespaces runs as nobody
        with running_servers(directory) as servers:
            busyness = Busyness(servers.cpu_seconds)
            asyncio.run(migrate(servers.create_database(_TEMPLATE)))
            is_missed = False
            if options.requests:
                _enqueues(servers, directory, options)
            if options.runs:
                is_missed = _pages(servers, directory, options)
            say(busyness.sentence())
    return int(is_missed)


def _enqueues(servers: Servers, directory: Path, options: argparse.Namespace) -> None:
    kinds: dict[str, Callable[[], Enqueued]] = {
        "running": lambda: _running(servers, directory, options.requests),
        "deskhand": lambda: _beside(servers, directory, options.requests),
        "bare": lambda: _bare(servers, options.requests),
        "stock": lambda: run(_stock(servers.redis_url, options.requests)),
    }
    rounds: dict[str, list[Enqueued]] = {name: [] for name in kinds}
    for _ in range(options.rounds):
        for name, measure in kinds.items():
            servers.empty()
            rounds[name].append(measure())
    say(f"{options.requests:,} enqueues of {_CLIENTS} clients; ms")
    say("               p50     p95     p99     max  CPU us    a second")
    medians = {}
    for name, several in rounds.items():
        figures = [
            statistics.median(column) for column in zip(*map(_figures, several), strict=True)
        ]
        medians[name] = figures[-1]
        say(f"{name:10}" + "".join(f"{one:8.1f}" for one in figures[:-1]) + f"{figures[-1]:12,.0f}")
    for name in ("bare", "stock"):
        say(f"deskhand enqueues {medians['deskhand'] / medians[name]:.2f} times as fast as {name}")
    say(f"none of {options.requests * options.rounds:,} runs was lost, and none ran twice")


def _figures(enqueued: Enqueued) -> tuple[float, ...]:
    cuts = statistics.quantiles(enqueued.times, n=100)
    return cuts[49], cuts[94], cuts[98], max(enqueued.times), enqueued.cpu, enqueued.rate


def _running(servers: Servers, directory: Path, requests: int) -> Enqueued:
    """Beside the runs themselves. Raises SystemExit unless each ran once."""
    url = servers.fresh_database(_TEMPLATE)
    with worker_server(servers, url, directory, queue="default", capacity=requests) as (port, told):
        enqueued = run(_over_http(port, requests))
        run(_until(lambda: told.count() >= requests))
        proof = prove(range(requests), told.noted())
    if proof.lost or proof.doubled or proof.foreign:
        raise SystemExit(f"running: {proof}")
    return enqueued


def _beside(servers: Servers, directory: Path, requests: int) -> Enqueued:
    url = servers.fresh_database(_TEMPLATE)
    with worker_server(servers, url, directory, queue="sync") as (port, _):
        return _whole(servers, run(_over_http(port, requests)), requests)


def _bare(servers: Servers, requests: int) -> Enqueued:
    with bare_server(servers.redis_url) as port:
        return _whole(servers, run(_over_http(port, requests)), requests)


def _whole(servers: Servers, enqueued: Enqueued, requests: int) -> Enqueued:
    """Raises SystemExit unless all are in the queue."""
    if servers.redis.zcard("arq:queue") != requests:
        raise SystemExit("some of what was enqueued is not in its queue")
    return enqueued


async def _over_http(port: Port, requests: int) -> Enqueued:
    async with asyncio.timeout(_WITHIN):
        clients = [await HttpClient.connect(port.number) for _ in range(_CLIENTS)]
    times: list[float] = []
    numbers = iter(range(requests))

    async def one(client: HttpClient) -> None:
        for number in numbers:
            body = json.dumps({"payload": {"number": number}}).encode()
            request = post(f"/api/v1/jobs/{NAME}/runs", body, token=port.token)
            began = perf_counter()
            status, answer = await client.ask(request)
            times.append((perf_counter() - began) * 1000)
            if status != port.status:
                raise SystemExit(f"{status}: {answer[:200]!r}")

    began, cpu = perf_counter(), cpu_seconds(port.pid)
    async with asyncio.timeout(_WITHIN):
        await asyncio.gather(*map(one, clients))
    took, cpu = perf_counter() - began, cpu_seconds(port.pid) - cpu
    for client in clients:
        client.close()
    return Enqueued(times, requests / took, cpu / requests * 1e6)


async def _stock(redis_url: str, requests: int) -> Enqueued:
    pool = await create_pool(RedisSettings.from_dsn(redis_url))
    times: list[float] = []
    numbers = iter(range(requests))

    async def one() -> None:
        for number in numbers:
            began = perf_counter()
            await pool.enqueue_job(NAME, number=number)
            times.append((perf_counter() - began) * 1000)

    began, cpu = perf_counter(), process_time()
    async with asyncio.timeout(_WITHIN):
        await asyncio.gather(*(one() for _ in range(_CLIENTS)))
    took, cpu = perf_counter() - began, process_time() - cpu
    await pool.aclose()
    return Enqueued(times, requests / took, cpu / requests * 1e6)


def _pages(servers: Servers, directory: Path, options: argparse.Namespace) -> bool:
    """True when a kind misses the target."""
    servers.empty()
    url = servers.fresh_database(_TEMPLATE)
    deep, run_id = asyncio.run(_filled(url, options.runs))
    is_missed = False
    with worker_server(servers, url, directory, queue="sync") as (port, _):
        say(f"{options.runs:,} runs; ms: median / 95th percentile, first page and a deep one")
        for name, is_known_to_miss, paths in _asked(deep, run_id, options.times):
            several = [run(_in_turn(port, each)) for each in paths]
            worst = max(map(statistics.median, several))
            late = worst > _TARGET and not is_known_to_miss
            is_missed = is_missed or late
            say(f"{name:32} {'   '.join(map(history.both, several))}{'   MISSED' if late else ''}")
    return is_missed


def _asked(deep: Cursor, run_id: str, times: int) -> Iterator[tuple[str, bool, list[list[str]]]]:
    """Of each kind: its name, whether it is known to miss, and what is asked for."""
    for kind in history.KINDS:
        paths = [list(history.paths(kind, after, times + 1)) for after in (None, cursor(deep))]
        yield kind.name, kind.is_known_to_miss, paths
    for path in (f"{_RUNS}/{run_id}", "/api/v1/queues", "/api/v1/dead-letters", "/health/details"):
        yield path.replace(run_id, "{run_id}"), False, [[path] * (times + 1)]


async def _filled(url: str, runs: int) -> tuple[Cursor, str]:
    """A place behind a third of the runs, and the id of the run there."""
    async with asyncpg.create_pool(url, min_size=1, max_size=1, command_timeout=600) as db:
        await history.fill(db, runs)
        deep = await history.place(db, runs // 3)
    return deep, deep.run_id


async def _in_turn(port: Port, paths: list[str]) -> list[float]:
    """Milliseconds of each but the first."""
    client = await HttpClient.connect(port.number)
    times = []
    async with asyncio.timeout(_WITHIN):
        for path in paths:
            began = perf_counter()
            status, answer = await client.ask(get(path, token=port.token))
            times.append((perf_counter() - began) * 1000)
            if status != 200:
                raise SystemExit(f"{path}: {status}: {answer[:200]!r}")
    client.close()
    return times[1:]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WITHIN):
        while not condition():
            await asyncio.sleep(0.05)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.http",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=10_000, help="of each round; 0: none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=1_000_000, help="in history; 0: no pages")
    parser.add_argument("--times", type=int, default=20, help="each kind of page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
