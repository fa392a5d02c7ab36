"""How many attempts end in a minute, how they end, how long they wait and take (O-16).

Each worker counts the attempts that Redis took its word for, and adds them to PostgreSQL every few
seconds. A worker that is killed takes the counts of its last seconds with it; nothing counts twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from worker.clock import utc_now
from worker.ending import State
from worker.rates import queries
from worker.rates.queries import Db, Row
from worker.rates.tally import STEPS, Tally, percentile
from worker.rates.writer import RateWriter

__all__ = ["RateWriter", "Rates", "Spread", "Tally", "prune", "rates"]

_KEPT = timedelta(days=7)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_MILLISECOND = timedelta(milliseconds=1)
# Ends that say whether a job works; others were neither its success nor its fault.
_FAILED = (State.DEAD, State.RETRYING)
_TRIED = (State.SUCCEEDED, *_FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Lengths of time. Percentiles are off by a factor of 1.4 at most, mostly by less."""

    mean: timedelta
    p50: timedelta
    p95: timedelta
    p99: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Of one queue, from `at` for `length`: attempts that ended, in all and by State.

    `failure_share` is of those that succeeded or failed; None when there were none. `wait` is from
    when an attempt was due to its start, `duration` from there to its end.
    """

    queue: str
    at: datetime
    length: timedelta
    attempts: int
    by_outcome: dict[str, int]
    per_minute: float
    per_hour: float
    failure_share: float | None
    wait: Spread
    duration: Spread


async def rates(
    db: Db,
    *,
    queue: str | None = None,
    job: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    period: timedelta | None = None,
) -> list[Rates]:
    """Rates of each queue that had any, in the last hour or from `since` to `until`.

    With a period (whole minutes) one for each, oldest first; periods without attempts are left out.
    Known for 7 days. Raises ValueError.
    """
    until = until or utc_now()
    since = since or until - _HOUR
    if since.tzinfo is None or until.tzinfo is None:
        raise ValueError("since and until say a time zone")
    if since >= until:
        raise ValueError("since is before until")
    if period is not None and (period < _MINUTE or period % _MINUTE):
        raise ValueError("period is some whole minutes")
    rows = await queries.sums(db, queue=queue, job=job, since=since, until=until, period=period)
    return [
        _rates(name, at or since.astimezone(UTC), period or until - since, list(group), until)
        for (at, name), group in groupby(rows, key=lambda row: (row["at"], row["queue"]))
    ]


async def prune(db: Db) -> int:
    """Forget counts that are older than 7 days; returns how many rows."""
    return await queries.delete_before(db, utc_now() - _KEPT)


def _rates(
    queue: str, at: datetime, length: timedelta, rows: Sequence[Row], until: datetime
) -> Rates:
    by_outcome = {row["outcome"]: row["attempts"] for row in rows}
    attempts = sum(by_outcome.values())
    tried = sum(by_outcome.get(state, 0) for state in _TRIED)
    failed = sum(by_outcome.get(state, 0) for state in _FAILED)
    # The last period is not over, maybe.
    length = min(length, max(until - at, _MINUTE))
    per_minute = attempts / (length / _MINUTE)
    return Rates(
        queue=queue,
        at=at,
        length=length,
        attempts=attempts,
        by_outcome=by_outcome,
        per_minute=per_minute,
        per_hour=per_minute * 60,
        failure_share=failed / tried if tried else None,
        wait=_spread(rows, "wait", "waits"),
        duration=_spread(rows, "duration", "durations"),
    )


def _spread(rows: Sequence[Row], name: str, steps: str) -> Spread:
    counts = list(_summed(row[steps] for row in rows))
    longest = max(row[f"longest_{name}_ms"] for row in rows)
    mean = sum(row[f"{name}_ms"] for row in rows) / max(sum(counts), 1)
    p50, p95, p99 = (percentile(counts, share, longest) for share in (0.5, 0.95, 0.99))
    return Spread(
        mean=mean * _MILLISECOND,
        p50=p50 * _MILLISECOND,
        p95=p95 * _MILLISECOND,
        p99=p99 * _MILLISECOND,
        longest=longest * _MILLISECOND,
    )


def _summed(lists: Iterable[Sequence[int]]) -> Iterator[int]:
    """Another version may have written other steps: what is missing is none."""
    several = list(lists)
    for step in range(STEPS):
        yield sum(one[step] or 0 for one in several)
