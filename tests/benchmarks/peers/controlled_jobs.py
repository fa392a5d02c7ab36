"""The benchmark's job with controls: what none, and each, of them costs."""

from jobs.kit import JobContext, Payload, RateLimit, Retry, TenantPayload, job
from tests.benchmarks import work

_ONCE = Retry(attempts=1)
_ONE_A_DAY = 86_400


class Keyed(Payload):
    number: int
    key: str = ""


class OfTenant(TenantPayload):
    number: int


async def run(ctx: JobContext, payload: Keyed) -> None:
    await work.work(payload.number)


PLAIN = job("bench.controls_none", queue="default", retry=_ONCE)(run)
BLOCKED = job(
    "bench.controls_blocked",
    queue="default",
    retry=_ONCE,
    rate_limits=(RateLimit("blocked:{key}", 1, _ONE_A_DAY),),
)(run)
RATED = job(
    "bench.controls_rate",
    queue="default",
    retry=_ONCE,
    rate_limits=(RateLimit("rated:{key}", 10_000, 1),),
)(run)
SHARED = job(
    "bench.controls_places",
    queue="default",
    retry=_ONCE,
    concurrency_key="{key}",
    concurrency_limit=10,
)(run)
ORDERED = job("bench.controls_order", queue="default", retry=_ONCE, partition_key="{key}")(run)
PREFERRED = job("bench.controls_priority", queue="default", retry=_ONCE, priority=5)(run)


@job("bench.controls_tenant", queue="default", retry=_ONCE)
async def of_tenant(ctx: JobContext, payload: OfTenant) -> None:
    await work.work(payload.number)
