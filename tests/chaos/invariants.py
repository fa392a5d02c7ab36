"""What must hold when everything has come to rest, whatever happened before."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from tests.chaos.history import FINAL, Attempt, Key, Records
from tests.chaos.marks import Interval
from tests.chaos.orders import Order

# The keys of a run go with the run.
OF_A_RUN = ("arq:job:", "arq:in-progress:", "arq:retry:", "deskhand:run:")
# Keys that never expire, each with its owner.
EMPTY_AT_REST = {
    "deskhand:events": "the ledger's stream",
    "deskhand:dead": "the ledger's stream of dead letters",
}
OWNED = {
    **EMPTY_AT_REST,
    "deskhand:epoch": "names the data",
    "deskhand:counts": "how attempts ended, by queue",
    "deskhand:crashed": "runs whose worker died; swept after a day",
    "deskhand:unknown": "runs that no worker knew; swept after a day",
}
_CRASHES = 3  # workers that a run may end with before it is dead as poison
# A stopped worker that goes on needs a moment to learn that its leases are gone.
_RECOGNITION = 2_000_000_000  # ns


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    whom: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`stops` are the times of each worker process that were longer than its lease."""

    orders: Mapping[str, Order]
    records: Records = field(default_factory=Records)
    receipts: Mapping[str, int] = field(default_factory=dict)
    intervals: Mapping[str, list[Interval]] = field(default_factory=dict)
    stops: Mapping[str, list[tuple[int, int]]] = field(default_factory=dict)
    killed: frozenset[str] = frozenset()
    keys: Sequence[Key] = ()


def violations(evidence: Evidence) -> list[Violation]:
    """All of them; empty when everything is as it must be."""
    return [violation for check in CHECKS for violation in check(evidence)]


def nothing_lost(evidence: Evidence) -> Iterator[Violation]:
    """Every accepted run has a final state, and nobody else has one."""
    for run_id in evidence.orders:
        run = evidence.records.runs.get(run_id)
        if run is None or run.state not in FINAL:
            state = "no record" if run is None else run.state
            yield Violation("a run is lost", run_id, state)
    for run_id in evidence.records.runs.keys() - evidence.orders.keys():
        yield Violation("a run that nobody asked for", run_id, "")


def ended_once(evidence: Evidence) -> Iterator[Violation]:
    """Exactly one attempt is the last; a dead run has one dead letter, any other has none."""
    for run_id, run in evidence.records.runs.items():
        finals = [one for one in _attempts(evidence, run_id) if one.outcome in FINAL]
        if len(finals) != 1:
            yield Violation("not exactly one terminal record", run_id, f"{len(finals)} of them")
        letters = evidence.records.dead_letters.get(run_id, 0)
        if letters != (run.state == "dead"):
            yield Violation("dead letters do not fit", run_id, f"{letters}, state {run.state}")


def ended_rightly(evidence: Evidence) -> Iterator[Violation]:
    """As its job ends. Poison is only what three workers ended with, or were stopped with."""
    for run_id, order in evidence.orders.items():
        run = evidence.records.runs.get(run_id)
        if run is None or run.state not in FINAL:
            continue
        if run.reason == "poison":
            crashes = sum(_is_crash(one, evidence) for one in evidence.intervals.get(run_id, ()))
            if crashes < _CRASHES:
                yield Violation("poison without its crashes", run_id, f"{crashes} of {_CRASHES}")
        elif run.state not in order.kind.endings:
            yield Violation("a wrong ending", run_id, f"{run.state}: {run.reason}")


def attempts_within_policy(evidence: Evidence) -> Iterator[Violation]:
    """A retry spends an attempt; crashes, snoozes, deploys and lost leases spend none."""
    for run_id, order in evidence.orders.items():
        attempts = _attempts(evidence, run_id)
        spent = sum(one.outcome in {"retrying", *FINAL} for one in attempts)
        allowed = order.kind.attempts
        highest = max((one.attempt for one in evidence.intervals.get(run_id, ())), default=0)
        if max(spent, highest) > allowed:
            yield Violation("too many attempts", run_id, f"{max(spent, highest)} of {allowed}")
        for last in attempts:
            if last.outcome in FINAL and last.attempt != spent:
                detail = f"{spent} on record, the last is number {last.attempt}"
                yield Violation("attempts are miscounted", run_id, detail)
            if last.outcome == "dead" and order.kind.endings == {"dead"} and spent != allowed:
                run = evidence.records.runs.get(run_id)
                if run is None or run.reason != "poison":
                    yield Violation("too few attempts", run_id, f"{spent} of {allowed}")


def delivered_once(evidence: Evidence) -> Iterator[Violation]:
    """No mail leaves twice; whatever is recorded as sent has left."""
    for run_id, count in evidence.receipts.items():
        if count > 1:
            yield Violation("a duplicate delivery", run_id, f"{count} receipts")
    for run_id, status in evidence.records.deliveries.items():
        if status == "sent" and evidence.receipts.get(run_id, 0) != 1:
            yield Violation("sent, but never received", run_id, "")
    for run_id, order in evidence.orders.items():
        run = evidence.records.runs.get(run_id)
        is_mail = order.kind.job.name == "chaos.send_mail"
        if is_mail and run and run.state == "succeeded" and not evidence.receipts.get(run_id):
            yield Violation("succeeded without a delivery", run_id, "")


def one_owner(evidence: Evidence) -> Iterator[Violation]:
    """No run is in two hands at once, but for a worker that was stopped longer than its lease."""
    for run_id, one, other in overlaps(evidence):
        if not (_is_excused(one, evidence) or _is_excused(other, evidence)):
            yield Violation("two live owners", run_id, f"{one}; {other}")


def overlaps(evidence: Evidence) -> Iterator[tuple[str, Interval, Interval]]:
    """Pairs of intervals of one run that share some time, also in one process."""
    for run_id, intervals in evidence.intervals.items():
        for one, other in combinations(intervals, 2):
            if one.begin < other.end and other.begin < one.end:
                yield run_id, one, other


def nothing_left_in_redis(evidence: Evidence) -> Iterator[Violation]:
    """A key belongs to a run in flight, has an end, or has an owner on the list."""
    for key in evidence.keys:
        if key.name.startswith(OF_A_RUN):
            yield Violation("a run's key is left in Redis", key.name, f"lives {key.ttl_ms} ms")
        elif key.ttl_ms < 0 and key.name not in OWNED:
            yield Violation("a key without end or owner", key.name, f"{key.size} entries")
        elif key.size and key.name in EMPTY_AT_REST:
            yield Violation("records wait in Redis", key.name, f"{key.size} of them")


def _attempts(evidence: Evidence, run_id: str) -> Sequence[Attempt]:
    return evidence.records.attempts.get(run_id, ())


def _is_crash(interval: Interval, evidence: Evidence) -> bool:
    was_killed = interval.worker in evidence.killed and not interval.is_closed
    return was_killed or _is_excused(interval, evidence)


def _is_excused(interval: Interval, evidence: Evidence) -> bool:
    return any(
        interval.begin < to + _RECOGNITION and since < interval.end
        for since, to in evidence.stops.get(interval.worker, ())
    )


CHECKS: tuple[Callable[[Evidence], Iterator[Violation]], ...] = (
    nothing_lost,
    ended_once,
    ended_rightly,
    attempts_within_policy,
    delivered_once,
    one_owner,
    nothing_left_in_redis,
)
