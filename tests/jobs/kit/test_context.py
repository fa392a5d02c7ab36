from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from jobs.kit import Enqueued, Job, JobContext, Payload, Run
from jobs.kit.context import Tools
from jobs.kit.discover import discover
from tests.conftest import MakeContext, Tenant

HALF_PAST_TEN_PM = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)
ISTANBUL = timezone(timedelta(hours=3))


RUN = Run("r0", "testing_kit.rename", "default", 1, "r0", HALF_PAST_TEN_PM, "request-1")


def make_context(**given: Any) -> JobContext:
    """With the tools that a test is about, and no others."""
    return JobContext(RUN, cast("Tools", SimpleNamespace(**given)))


def clock(instant: datetime) -> Callable[[], datetime]:
    return lambda: instant


def test_now_is_in_utc_whatever_zone_the_clock_has() -> None:
    ctx = make_context(clock=clock(HALF_PAST_TEN_PM.astimezone(ISTANBUL)))

    assert ctx.now() == HALF_PAST_TEN_PM
    assert ctx.now().tzinfo is UTC


@pytest.mark.parametrize(
    ("tz", "day"), [("UTC", 1), ("Europe/Istanbul", 2), ("America/New_York", 1)]
)
def test_today_is_the_day_it_is_in_the_zone(tz: str, day: int) -> None:
    ctx = make_context(clock=clock(HALF_PAST_TEN_PM))

    assert ctx.today(tz) == date(2026, 3, day)


def test_today_is_utcs_unless_a_zone_is_named() -> None:
    ctx = make_context(clock=clock(HALF_PAST_TEN_PM.astimezone(ISTANBUL)))

    assert ctx.today() == date(2026, 3, 1)


async def test_enqueue_hands_job_payload_and_delay_on() -> None:
    handed_on: list[object] = []

    async def enqueue(
        run: Run, job: Job[Any, Any], payload: Payload, *, delay: timedelta | None = None
    ) -> Enqueued:
        handed_on.extend((run, job, payload, delay))
        return Enqueued("r1", is_new=True)

    job, payload = discover()["sam_gov.import_opportunities"], Payload()

    enqueued = await make_context(enqueue=enqueue).enqueue(job, payload, delay=timedelta(hours=1))

    assert enqueued == Enqueued("r1", is_new=True)
    assert handed_on == [RUN, job, payload, timedelta(hours=1)]


async def _rename(db: asyncpg.pool.PoolConnectionProxy, tenant_id: UUID) -> None:
    await db.execute("update tenants set name = 'New' where tenant_id = $1", tenant_id)


async def test_a_transaction_is_committed_at_its_end(make_ctx: MakeContext, tenant: Tenant) -> None:
    ctx = make_ctx("testing_kit.rename")

    async with ctx.transaction() as db:
        await _rename(db, tenant.tenant_id)

    assert await ctx.db.fetchval("select name from tenants") == "New"


async def test_a_transaction_that_fails_leaves_nothing(
    make_ctx: MakeContext, tenant: Tenant
) -> None:
    ctx = make_ctx("testing_kit.rename")

    async def rename_and_fail() -> None:
        async with ctx.transaction() as db:
            await _rename(db, tenant.tenant_id)
            raise LookupError

    with pytest.raises(LookupError):
        await rename_and_fail()

    assert await ctx.db.fetchval("select name from tenants") == tenant.name


@pytest.mark.parametrize(("breaks", "rows"), [(False, 3), (True, 0)])
async def test_many_runs_are_enqueued_with_a_transaction_or_not_at_all(
    make_ctx: MakeContext, *, breaks: bool, rows: int
) -> None:
    ctx = make_ctx("testing_kit.rename", correlation_id="request-1")
    job = discover()["sam_gov.import_opportunities"]
    tenant_id = uuid4()
    file = {"tenant_id": tenant_id, "key": f"imports/{tenant_id}/one.json"}
    payloads = [job.validate(file) for _ in range(3)]

    with suppress(LookupError):
        async with ctx.transaction() as connection:
            run_ids = await ctx.enqueue_many_in(connection, job, payloads)
            if breaks:
                raise LookupError

    found = await ctx.db.fetch("select run_id, message from outbox order by outbox_id")
    assert [row["run_id"] for row in found] == run_ids[:rows]
    assert all(b"request-1" in row["message"] for row in found)
