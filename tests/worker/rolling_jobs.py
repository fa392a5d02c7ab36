"""Jobs of two versions of an application: ROLLING_VERSION says which one a process is.

The new one has renamed a job, added a field to its payload, and added a job.
"""

import asyncio
import os
from pathlib import Path

from jobs.kit import JobContext, Payload, Retry, job
from tests.worker.trouble_jobs import write_mark

IS_NEW = os.environ.get("ROLLING_VERSION") == "new"
# Below this both APIs are asked for the same numbers, as by a client that tries again.
SHARED = 1000
_VERSION = "new" if IS_NEW else "old"
_ONCE = Retry(attempts=1)


class Bill(Payload):
    marks: Path
    number: int


class BillWithNote(Bill):
    note: str = "none"


async def _work(ctx: JobContext, payload: Bill, what: str) -> None:
    event = f"{_VERSION}:{what}"
    write_mark(payload.marks, ctx.run.queue, ctx.run.attempt, f"begin:{event}", payload.number)
    await asyncio.sleep(0.05)
    write_mark(payload.marks, ctx.run.queue, ctx.run.attempt, f"end:{event}", payload.number)


if IS_NEW:

    @job(
        "rolling.charge_customer",
        queue="default",
        retry=_ONCE,
        idempotency_key="{number}",
        aliases=("rolling.bill_customer",),
    )
    async def charge_customer(ctx: JobContext, payload: BillWithNote) -> None:
        await _work(ctx, payload, payload.note)

    @job("rolling.thank_customer", queue="email", retry=_ONCE)
    async def thank_customer(ctx: JobContext, payload: Bill) -> None:
        await _work(ctx, payload, "thanks")

else:

    @job("rolling.bill_customer", queue="default", retry=_ONCE, idempotency_key="{number}")
    async def bill_customer(ctx: JobContext, payload: Bill) -> None:
        await _work(ctx, payload, "none")
