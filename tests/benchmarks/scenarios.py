"""What is measured, with whom, and how often."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests.benchmarks.bench import Bench, Figures, Load
from tests.benchmarks.peer import Peer

_RATE = ("jobs", "jobs_a_second")
_COST = ("worker_us", "redis_us", "postgres_us", "commands", "trips")
_ENQUEUED = ("one_a_second", "bulk_a_second")
_WAITS = ("p50_ms", "p99_ms")

_ON_REDIS = ("deskhand", "arq", "saq", "taskiq", "streaq", "bullmq")
_FAST = (*_ON_REDIS, "pgqueuer")
_ALL = (*_FAST, "arq-default")
_BOTH = ("deskhand", "arq")
_ARQS = (*_BOTH, "arq-default")  # workers that poll less get in each other's way less

_DRAINED = 20_000
_BACKLOGS = (1_000, 10_000, 100_000, 1_000_000)
_TEN = 10
_COMPETITORS = (1, 2, 4, 8, _TEN, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One table. `headline` is the figure that is compared with stock ARQ's.

    `quick` names who takes part in a quick run; nobody means that it is left out there.
    """

    key: str
    title: str
    measure: Callable[[Bench, Peer], Figures]
    columns: tuple[str, ...]
    headline: str
    peers: tuple[str, ...] = _ALL
    quick: tuple[str, ...] = _BOTH
    repetitions: int = 3
    is_more_better: bool = True

    @property
    def group(self) -> str:
        """`drain` of `drain-2`."""
        return self.key.partition("-")[0]


def scenarios(*, is_quick: bool) -> list[Scenario]:
    """All, in the order in which they run."""
    full = [
        *(_drain(processes, is_quick=is_quick) for processes in (1, 2)),
        _logged(is_quick=is_quick),
        _nap(10, 100, _FAST, is_quick=is_quick),
        _nap(100, 10, _BOTH, is_quick=is_quick),
        _enqueue(is_quick=is_quick),
        *(_latency(variant, is_quick=is_quick) for variant in ("", "stock")),
        _idle(is_quick=is_quick),
        *(_backlog(waiting, is_quick=is_quick) for waiting in _BACKLOGS),
        *(_compete(processes, is_quick=is_quick) for processes in _COMPETITORS),
        *_slow(is_quick=is_quick),
    ]
    if not is_quick:
        return full
    return [replace(one, peers=one.quick, repetitions=1) for one in full if one.quick]


def _sized(peer: Peer, seconds: float, *, is_quick: bool, most: int = _DRAINED) -> int:
    """Jobs for a drain of about `seconds`, at most `most`: the slow would need too long."""
    seconds = seconds / 4 if is_quick else seconds
    return max(min(most, int(peer.rate * seconds)), 200)


def _drain(processes: int, *, is_quick: bool) -> Scenario:
    def measure(bench: Bench, peer: Peer) -> Figures:
        jobs = _sized(peer, 3, is_quick=is_quick)
        return bench.drain(peer, Load(jobs=jobs, processes=processes))

    return Scenario(
        key=f"drain-{processes}",
        title=f"Drain of {_DRAINED:,} no-op jobs, {processes} process(es)",
        measure=measure,
        columns=(*_RATE, *_COST),
        headline="jobs_a_second",
        peers=_ALL if processes == 1 else _FAST,
        quick=_ALL if processes == 1 else _BOTH,
        repetitions=3 if processes == 1 else 2,
    )


def _logged(*, is_quick: bool) -> Scenario:
    def measure(bench: Bench, peer: Peer) -> Figures:
        jobs = _sized(peer, 3, is_quick=is_quick)
        return bench.drain(peer, Load(jobs=jobs, variant="logged"))

    return Scenario(
        key="drain-logged",
        title="The same with 1 process that logs: a structured line a run, stock ARQ at INFO",
        measure=measure,
        columns=(*_RATE, *_COST),
        headline="jobs_a_second",
        peers=_BOTH,
        repetitions=2,
    )


def _nap(milliseconds: int, slots: int, peers: tuple[str, ...], *, is_quick: bool) -> Scenario:
    ideal = 1000 * slots // milliseconds

    def measure(bench: Bench, peer: Peer) -> Figures:
        most = ideal * (2 if is_quick else 3)
        jobs = _sized(peer, 2, is_quick=is_quick, most=most)
        return bench.drain(peer, Load(jobs=jobs, slots=slots, seconds=milliseconds / 1000))

    return Scenario(
        key=f"nap-{milliseconds}",
        title=f"Jobs of {milliseconds} ms at {slots} slots (ideal: {ideal:,} a second)",
        measure=measure,
        columns=_RATE,
        headline="jobs_a_second",
        peers=peers,
        repetitions=2,
    )


def _enqueue(*, is_quick: bool) -> Scenario:
    def measure(bench: Bench, peer: Peer) -> Figures:
        one, bulk = (1_000, 5_000) if is_quick else (1_500, 8_000)
        return bench.enqueue(peer, one=one, bulk=bulk, is_slow=False)

    return Scenario(
        key="enqueue",
        title="Enqueuing, one after the other and in bulk",
        measure=measure,
        columns=_ENQUEUED,
        headline=_ENQUEUED[0],
        peers=_FAST,
        quick=_FAST,
        repetitions=2,
    )


def _latency(variant: str, *, is_quick: bool) -> Scenario:
    def measure(bench: Bench, peer: Peer) -> Figures:
        return bench.latency(peer, Load(jobs=100 if is_quick else 200, variant=variant))

    return Scenario(
        key=f"latency-{variant or 'own'}",
        title="Pick-up on an idle worker" + (", from a stock pool" if variant else ""),
        measure=measure,
        columns=_WAITS,
        headline=_WAITS[0],
        peers=("deskhand",) if variant else _ALL,
        quick=("deskhand",) if variant else _ALL,
        repetitions=1,
        is_more_better=False,
    )


def _idle(*, is_quick: bool) -> Scenario:
    def measure(bench: Bench, peer: Peer) -> Figures:
        return bench.idle(peer, seconds=3 if is_quick else 5)

    return Scenario(
        key="idle",
        title="An idle worker",
        measure=measure,
        columns=("worker_percent", "redis_percent", "commands_a_second", "trips_a_second"),
        headline="worker_percent",
        repetitions=1,
        is_more_better=False,
    )


def _backlog(waiting: int, *, is_quick: bool) -> Scenario:

    def measure(bench: Bench, peer: Peer) -> Figures:
        jobs = _sized(peer, 3, is_quick=is_quick, most=10_000)
        return bench.backlog(peer, waiting=waiting, jobs=jobs)

    return Scenario(
        key=f"backlog-{waiting}",
        title=f"Cost of a job with {waiting:,} waiting",
        measure=measure,
        columns=(*_RATE, *_COST),
        headline="jobs_a_second",
        peers=_BOTH if waiting in (_BACKLOGS[0], _BACKLOGS[-1]) else _FAST,
        quick=() if waiting == _BACKLOGS[-1] else ("deskhand",),
        repetitions=1,
    )


def _compete(processes: int, *, is_quick: bool) -> Scenario:
    def measure(bench: Bench, peer: Peer) -> Figures:
        jobs = _sized(peer, 3, is_quick=is_quick)
        return bench.drain(peer, Load(jobs=jobs, processes=processes, slots=10))

    return Scenario(
        key=f"workers-{processes}",
        title=f"{processes} competing worker(s) of 10 slots",
        measure=measure,
        columns=(*_RATE, *_COST),
        headline="jobs_a_second",
        peers=_ARQS if processes == _TEN else _BOTH,
        quick=_ARQS if processes == _TEN else (),
        repetitions=1,
    )


def _slow(*, is_quick: bool) -> Iterator[Scenario]:
    """The main ones again, with Redis a millisecond away each way."""

    def drain(bench: Bench, peer: Peer) -> Figures:
        jobs = _sized(peer, 1.5, is_quick=is_quick)
        return bench.drain(peer, Load(jobs=jobs, is_slow=True))

    def nap(bench: Bench, peer: Peer) -> Figures:
        jobs = _sized(peer, 1.5, is_quick=is_quick)
        return bench.drain(peer, Load(jobs=jobs, seconds=0.01, is_slow=True))

    def enqueue(bench: Bench, peer: Peer) -> Figures:
        return bench.enqueue(peer, one=200, bulk=3_000, is_slow=True)

    def latency(bench: Bench, peer: Peer) -> Figures:
        return bench.latency(peer, Load(jobs=100 if is_quick else 150, is_slow=True))

    for key, title, measure, columns, headline in (
        ("drain", "drain of no-op jobs, 1 process", drain, (*_RATE, *_COST), _RATE[1]),
        ("nap", "jobs of 10 ms at 100 slots", nap, _RATE, _RATE[1]),
        ("enqueue", "enqueuing", enqueue, _ENQUEUED, _ENQUEUED[0]),
        ("latency", "pick-up on an idle worker", latency, _WAITS, _WAITS[0]),
    ):
        yield Scenario(
            key=f"slow-{key}",
            title=f"Redis 1 ms away, each way: {title}",
            measure=measure,
            columns=columns,
            headline=headline,
            peers=_ON_REDIS,
            quick=("deskhand",) if key in ("drain", "latency") else (),
            repetitions=1,
            is_more_better=key != "latency",
        )
