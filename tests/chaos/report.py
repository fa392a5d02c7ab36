"""What became of it, in words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from typing_extensions import override

from tests.chaos.invariants import Evidence, Violation, overlaps
from tests.chaos.plan import What
from tests.chaos.takeover import Takeover

_SHOWN = 10  # violations of each rule with their whole history


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`errors` counts the workers' error lines; `ends` is when each process ended, in ns."""

    evidence: Evidence
    violations: Sequence[Violation]
    takeovers: Sequence[Takeover]
    faults: Mapping[What, int]
    enqueue_retries: int
    cut_replies: int
    workers: int
    errors: Mapping[str, int]
    ends: Mapping[str, int]

    @override
    def __str__(self) -> str:
        return "\n".join([*self._summary(), *self._faults(), *self._findings()])

    def _summary(self) -> Iterator[str]:
        evidence = self.evidence
        states = Counter(run.state for run in evidence.records.runs.values())
        reasons = Counter(
            run.reason or "" for run in evidence.records.runs.values() if run.state == "dead"
        )
        outcomes = Counter(
            one.outcome for attempts in evidence.records.attempts.values() for one in attempts
        )
        deliveries = Counter(evidence.records.deliveries.values())
        starts = sum(map(len, evidence.intervals.values()))
        excused = len(list(overlaps(evidence)))
        yield f"accepted      {len(evidence.orders)} ({self.enqueue_retries} calls sent again)"
        yield f"states        {_counts(states)}"
        yield f"dead of       {_counts(reasons)}"
        yield f"attempts      {_counts(outcomes)}; {starts} starts"
        mails = sum(evidence.receipts.values())
        yield f"deliveries    {_counts(deliveries)}; {mails} mails received"
        yield f"overlaps      {excused} in all (allowed with a worker stopped beyond its lease)"

    def _faults(self) -> Iterator[str]:
        yield f"faults        {sum(self.faults.values())}, {self.workers} worker processes"
        for what, count in sorted(self.faults.items()):
            more = f" ({self.cut_replies} replies)" if what is What.CUT else ""
            yield f"  {count:4} {what}{more}"
        for takeover in self.takeovers:
            yield f"takeover      {takeover}"
        waits = sorted(self._waits_after_a_kill())
        if waits:
            yield (
                f"takeover      amid faults and a backlog: {len(waits)} runs of killed workers,"
                f" median {median(waits):.1f} s, longest {waits[-1]:.1f} s"
            )

        if self.errors:
            yield "errors        in the workers' logs"
            yield from (f"  {count:4} {message}" for message, count in self.errors.items())

    def _waits_after_a_kill(self) -> Iterator[float]:
        """Seconds from a worker's death until a run of its began elsewhere."""
        for intervals in self.evidence.intervals.values():
            for one, following in pairwise(intervals):
                if one.worker in self.evidence.killed and not one.is_closed:
                    yield (following.begin - self.ends[one.worker]) / 1e9

    def _findings(self) -> Iterator[str]:
        yield f"violations    {len(self.violations)}"
        for rule, count in Counter(one.rule for one in self.violations).most_common():
            yield f"  {count:4} {rule}"
            for violation in [one for one in self.violations if one.rule == rule][:_SHOWN]:
                yield f"       {violation.whom}: {violation.detail}"
                yield from (f"         {line}" for line in self._history(violation.whom))

    def _history(self, run_id: str) -> Iterator[str]:
        """What is known of a run: its starts by our own marks, then what the product wrote."""
        yield from map(str, self.evidence.intervals.get(run_id, ()))
        for one in self.evidence.records.attempts.get(run_id, ()):
            what = f"attempt {one.attempt} {one.outcome} {one.error or ''}"
            yield f"recorded: {what} on {one.worker}, begun {one.started_at}"
        run = self.evidence.records.runs.get(run_id)
        if run is not None:
            yield f"run: {run.state} after {run.attempt} ({run.reason})"


def _counts(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{name or '-'} {count}" for name, count in sorted(counter.items())) or "none"
