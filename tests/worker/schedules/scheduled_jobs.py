"""Jobs with schedules, for the tests of those."""

import asyncio
from typing import Any

from jobs.kit import Cron, Every, Fixed, JobContext, OnDemand, Retry, Tick, job, setting

CREATE = "create table if not exists beats (job text, due_at timestamptz, run_id text)"


class Nap(Tick):
    seconds: float = 0


@job("beat.note_tick", queue="default", schedule=Every(1))
async def note_tick(ctx: JobContext, tick: Tick) -> dict[str, Any]:
    await note(ctx, tick)
    return {"noted": 1}


@job("beat.nap_often", queue="default", schedule=Every(1), worker="StockReconciliationWorker")
async def nap_often(ctx: JobContext, tick: Nap) -> None:
    await note(ctx, tick)
    await asyncio.sleep(3)


@job(
    "beat.fail_always",
    queue="default",
    schedule=Cron(setting("DAILY_BRIEF_TIME"), tz=setting("TIMEZONE")),
    retry=Retry(attempts=2, backoff=Fixed(0.05)),
)
async def fail_always(ctx: JobContext, tick: Tick) -> None:
    await note(ctx, tick)
    raise RuntimeError("as always")


@job("beat.export_all", queue="default", schedule=OnDemand(), worker="FinancialExportWorker")
async def export_all(ctx: JobContext, tick: Tick) -> None:
    await note(ctx, tick)
    await asyncio.sleep(1)


async def note(ctx: JobContext, tick: Tick) -> None:
    """A row for each attempt."""
    await ctx.db.execute(
        "insert into beats values ($1, $2, $3)", ctx.run.job, tick.due_at, ctx.run.run_id
    )
