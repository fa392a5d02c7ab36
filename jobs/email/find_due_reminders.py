"""Find who is to be reminded of deadlines today."""

from jobs.email import queries
from jobs.email.core import opportunities
from jobs.email.send_opportunity_reminder import OpportunityReminder, send_opportunity_reminder
from jobs.kit import Cron, JobContext, Tick, job

_PAGE = 200


@job("email.find_due_reminders", queue="reminders", schedule=Cron("0 9 * * *"), timeout=1800)
async def find_due_reminders(ctx: JobContext, tick: Tick) -> dict[str, int]:
    """A reminder for each user of a tenant with opportunities that close soon.

    Done twice it does no harm, also when midnight is in between: a user gets one reminder a day, of
    the day on which this was due. Returns how many were enqueued.
    """
    closing_from, closing_until = opportunities.closing_soon(tick.due_at)
    reminders = tenants = 0
    async for tenant in queries.tenants_with_closing(ctx.db, closing_from, closing_until):
        tenants += 1
        async for user_ids in queries.users_of(ctx.db, tenant.tenant_id, page=_PAGE):
            payloads = [
                OpportunityReminder(
                    tenant_id=tenant.tenant_id,
                    user_id=user_id,
                    notice_ids=tenant.notice_ids,
                    asked_at=tick.due_at,
                )
                for user_id in user_ids
            ]
            async with ctx.transaction() as connection:
                await ctx.enqueue_many_in(connection, send_opportunity_reminder, payloads)
            reminders += len(user_ids)
    ctx.log.info("Reminders found", tenants=tenants, reminders=reminders)
    return {"tenants": tenants, "reminders": reminders}
