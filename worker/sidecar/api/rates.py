"""Rates: how many attempts end in a minute and how, how long they wait and take."""

from datetime import datetime, timedelta

from pydantic import AwareDatetime, Field

from worker.clock import utc_now
from worker.rates import Rates, Spread, rates
from worker.sidecar.access.principal import Role
from worker.sidecar.api.errors import invalid, refusing, within
from worker.sidecar.api.operation import Answered, Call, Instant, Parameters, operation

MOST_PERIODS = 500
_HOUR = timedelta(hours=1)


class RateQuery(Parameters):
    queue: str | None = Field(None, max_length=200)
    job: str | None = Field(None, max_length=200)
    since: Instant | None = Field(None, description="An hour before `until`, if not given.")
    until: Instant | None = Field(None, description="Now, if not given.")
    period_seconds: int | None = Field(
        None,
        ge=60,
        le=7 * 86_400,
        multiple_of=60,
        description=f"One rate for each period of so long, at most {MOST_PERIODS} of them.",
    )


class Lengths(Answered):
    """Seconds. Percentiles are off by a factor of 1.4 at most, mostly by less."""

    mean: float
    p50: float
    p95: float
    p99: float
    longest: float


class QueueRates(Answered):
    """Attempts of a queue that ended from `at` on, for `seconds`.

    `failure_share` is of those that succeeded or failed; null when there were none. `wait` is from
    when an attempt was due to its start, `duration` from there to its end.
    """

    queue: str
    at: AwareDatetime
    seconds: float
    attempts: int
    by_outcome: dict[str, int]
    per_minute: float
    per_hour: float
    failure_share: float | None
    wait: Lengths
    duration: Lengths


class RateList(Answered):
    items: list[QueueRates]


@operation(
    "GET",
    "/rates",
    tag="queues",
    role=Role.VIEWER,
    summary="Rates of each queue in which attempts ended, in the last hour or another time.",
)
async def list_rates(call: Call[RateQuery, None]) -> RateList:
    """Known for 7 days, by the minute. Periods in which nothing ended are left out."""
    asked = call.parameters
    until = asked.until or utc_now()
    since = asked.since or _before(until)
    period = None if asked.period_seconds is None else timedelta(seconds=asked.period_seconds)
    if period is not None and (until - since) / period > MOST_PERIODS:
        problem = f"there are more than {MOST_PERIODS} of these from since to until"
        raise invalid({"period_seconds": problem}, where="query")
    with refusing("since"):
        if since >= until:
            raise ValueError("is not before until")
    async with within():
        found = await rates(
            call.services.db,
            queue=asked.queue,
            job=asked.job,
            since=since,
            until=until,
            period=period,
        )
    return RateList(items=[_shown(one) for one in found])


def _before(until: datetime) -> datetime:
    try:
        return until - _HOUR
    except OverflowError:
        raise invalid({"until": "is too long ago"}, where="query") from None


def _shown(one: Rates) -> QueueRates:
    return QueueRates(
        queue=one.queue,
        at=one.at,
        seconds=one.length.total_seconds(),
        attempts=one.attempts,
        by_outcome=one.by_outcome,
        per_minute=one.per_minute,
        per_hour=one.per_hour,
        failure_share=one.failure_share,
        wait=_lengths(one.wait),
        duration=_lengths(one.duration),
    )


def _lengths(spread: Spread) -> Lengths:
    names = Lengths.model_fields
    return Lengths(**{name: getattr(spread, name).total_seconds() for name in names})
