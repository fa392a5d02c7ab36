"""Find which overdue invoices are to be asked for today."""

from datetime import timedelta

from clients.errors import RequestRejectedError
from jobs.dunning import queries
from jobs.dunning.finding import enqueue_due
from jobs.kit import Cron, JobContext, Tick, job

_DAY = timedelta(days=1)


@job("dunning.find_overdue", queue="dunning", schedule=Cron("0 10 * * *"), timeout=3600)
async def find_overdue(ctx: JobContext, tick: Tick) -> dict[str, int]:
    """A reminder for each contact with an invoice that has come to its next stage.

    By the calendar of today, however late the tick: nobody is asked twice for days that were
    missed. Returns how many tenants were looked at, how many reminders enqueued, and how many
    tenants are set up wrongly; those are logged, and keep no other from its own.
    """
    tenants = reminders = failed = 0
    # No tenant's day is further than tomorrow.
    async for tenant_id in queries.tenants_with_overdue(ctx.db, ctx.today() + _DAY):
        tenants += 1
        try:
            reminders += await enqueue_due(ctx, tenant_id)
        except RequestRejectedError as error:
            failed += 1
            ctx.log.warning(
                "A tenant's reminders cannot be found", tenant_id=str(tenant_id), error=str(error)
            )
    lateness = ctx.now() - tick.due_at
    ctx.log.info(
        "Overdue invoices found",
        tenants=tenants,
        reminders=reminders,
        late_seconds=round(lateness.total_seconds()),
    )
    return {"tenants": tenants, "reminders": reminders, "failed": failed}
