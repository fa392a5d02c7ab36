"""One run's servers, directories and databases, and the measurements that scenarios are made of."""

import asyncio
import itertools
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.measure import Reading
from tests.benchmarks.orders import BenchmarkError, Enqueuer
from tests.benchmarks.peer import DESKHAND, Peer, Setup
from tests.benchmarks.runner import Workers, held
from tests.benchmarks.servers import Servers
from tests.benchmarks.tally import Noted, prove
from worker.migrate import migrate

_LONGEST_DRAIN = 60.0  # seconds
_WARM_UP = 500  # jobs, where more wait
_LONG = 10_000  # jobs
_PAUSE = 0.02  # seconds between jobs, when latency is measured

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the workers get: `jobs` that sleep `seconds`, on `processes` with `slots` each."""

    jobs: int
    processes: int = 1
    slots: int | None = None
    seconds: float = 0.0
    variant: str = ""
    is_slow: bool = False


class Bench:
    """Measures one peer at a time; every method that does returns figures by their name."""

    def __init__(self, servers: Servers, directory: Path) -> None:
        self.servers = servers
        self._directory = directory
        self._serial = itertools.count(1)

    def prepare(self, peer: Peer) -> None:
        """Make the database that the peer's databases are copies of."""
        if peer is DESKHAND:
            asyncio.run(migrate(self.servers.create_database(peer.name)))
        elif peer.needs_schema:
            url = self.servers.create_database(peer.name)
            setup = replace(self._setup(peer, Load(jobs=0)), database_url=url)
            with _enqueuer(peer, setup) as enqueuer:
                enqueuer.ask("install")

    def _setup(self, peer: Peer, load: Load) -> Setup:
        """Empty servers, and a directory of its own."""
        self.servers.empty()
        tallies = self._directory / f"{next(self._serial)}-{peer.name}"
        tallies.mkdir()
        return Setup(
            redis_url=self.servers.slow_redis_url if load.is_slow else self.servers.redis_url,
            database_url="",
            tallies=tallies,
            slots=load.slots or peer.slots,
            seconds=load.seconds,
            capacity=2 * load.jobs + 10_000,
            variant=load.variant,
        )

    def _ready(self, peer: Peer, load: Load) -> Setup:
        setup = self._setup(peer, load)
        if not peer.needs_schema:
            return setup
        return replace(setup, database_url=self.servers.fresh_database(peer.name))

    @contextmanager
    def _workers(self, peer: Peer, load: Load) -> Iterator[Workers]:
        """Warmed up, on an empty queue."""
        with held(peer, self._ready(peer, load), processes=load.processes) as workers:
            workers.start()
            workers.warm_up()
            yield workers

    def _reading(self, workers: Workers) -> Reading:
        return self.servers.reading(workers.cpu_seconds())

    def drain(self, peer: Peer, load: Load) -> Figures:
        """Jobs a second from the first start to the last end, and what each cost."""
        with self._workers(peer, load) as workers:
            workers.freeze()
            workers.enqueuer.ask("fill", 0, load.jobs)
            before = self._reading(workers)
            workers.let_go()
            workers.wait_for(load.jobs, _LONGEST_DRAIN)
            workers.settle()
            spent = self._reading(workers) - before
            noted = workers.tallies.noted()
        return {**_rate(noted), **_costs(spent, len(noted)), **_proof(load.jobs, noted)}

    def backlog(self, peer: Peer, *, waiting: int, jobs: int) -> Figures:
        """What a job costs while `waiting` wait: of `jobs` of them, after some to warm up.

        The workers start when all wait, because a long SIGSTOP would cost them their connections;
        a short queue would be empty before the counters are read.
        """
        load = Load(jobs=waiting)
        with held(peer, self._ready(peer, load)) as workers:
            if waiting < _LONG:
                workers.start()
                workers.warm_up()
                workers.freeze()
                workers.enqueuer.ask("fill", 0, waiting)
            else:
                workers.enqueuer.ask("fill", 0, waiting)
                workers.start()
                workers.wait_for(_WARM_UP, _LONGEST_DRAIN)
                workers.freeze()
                workers.tallies.mark()
                jobs = min(jobs, waiting - workers.tallies.marked())
            before = self._reading(workers)
            workers.let_go()
            workers.wait_for(min(jobs, waiting), _LONGEST_DRAIN)
            workers.freeze()
            spent = self._reading(workers) - before
            noted = workers.tallies.noted()
        doubled = len(noted) - len({one.number for one in noted})
        return {**_rate(noted), **_costs(spent, len(noted)), "lost": 0, "doubled": doubled}

    def latency(self, peer: Peer, load: Load) -> Figures:
        """Milliseconds from the call that enqueues to the start, with nothing else to do."""
        with self._workers(peer, load) as workers:
            sent = workers.enqueuer.ask("pace", load.jobs, _PAUSE).sent
            workers.wait_for(load.jobs, _LONGEST_DRAIN)
            noted = workers.tallies.noted()
        waits = sorted(1000 * (one.begun - sent[one.number]) for one in noted)
        cuts = statistics.quantiles(waits, n=100, method="inclusive")
        return {"p50_ms": cuts[49], "p99_ms": cuts[98], **_proof(load.jobs, noted)}

    def idle(self, peer: Peer, *, seconds: float) -> Figures:
        """What an idle worker does in a second."""
        load = Load(jobs=0)
        with self._workers(peer, load) as workers:
            workers.settle()
            before = self._reading(workers)
            workers.idle(seconds)
            spent = self._reading(workers) - before
        return {
            "worker_percent": 100 * spent.worker / spent.at,
            "redis_percent": 100 * spent.redis / spent.at,
            "commands_a_second": spent.commands / spent.at,
            "trips_a_second": spent.round_trips / spent.at,
        }

    def enqueue(self, peer: Peer, *, one: int, bulk: int, is_slow: bool) -> Figures:
        """Jobs enqueued a second, one after the other and many at once; no worker runs."""
        setup = self._ready(peer, Load(jobs=0, is_slow=is_slow))
        with _enqueuer(peer, setup) as enqueuer:
            enqueuer.ask("one", one // 5)  # to warm up
            took_one = enqueuer.ask("one", one).seconds
            enqueuer.ask("bulk", bulk // 5)
            took_many = enqueuer.ask("bulk", bulk).seconds
        return {"one_a_second": one / took_one, "bulk_a_second": bulk / took_many}


@contextmanager
def _enqueuer(peer: Peer, setup: Setup) -> Iterator[Enqueuer]:
    enqueuer = Enqueuer(peer, setup)
    try:
        yield enqueuer
    finally:
        enqueuer.kill()


def _rate(noted: list[Noted]) -> Figures:
    if not noted:
        raise BenchmarkError("no job ran")
    took = max(one.ended for one in noted) - min(one.begun for one in noted)
    return {"jobs": len(noted), "jobs_a_second": len(noted) / took}


def _costs(spent: Reading, jobs: int) -> Figures:
    return {
        "worker_us": 1e6 * spent.worker / jobs,
        "redis_us": 1e6 * spent.redis / jobs,
        "postgres_us": 1e6 * spent.postgres / jobs,
        "commands": spent.commands / jobs,
        "trips": spent.round_trips / jobs,
    }


def _proof(jobs: int, noted: list[Noted]) -> Figures:
    proof = prove(range(jobs), noted)
    return {"lost": proof.lost, "doubled": proof.doubled + proof.foreign}
