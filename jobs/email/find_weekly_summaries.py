"""Have each user told of the week that is over."""

from jobs.email import queries
from jobs.email.core.weeks import week_of_tick
from jobs.email.send_weekly_summary import WeeklySummary, send_weekly_summary
from jobs.kit import Cron, JobContext, Tick, job

_PAGE = 200


@job("email.find_weekly_summaries", queue="reminders", schedule=Cron("0 8 * * 1"), timeout=1800)
async def find_weekly_summaries(ctx: JobContext, tick: Tick) -> dict[str, int | str]:
    """Done twice it does no harm: a user gets one summary a week.

    Returns which week, and how many were enqueued.
    """
    week, summaries = str(week_of_tick(tick.due_at)), 0
    async for users in queries.users_of_all(ctx.db, page=_PAGE):
        payloads = [
            WeeklySummary(tenant_id=tenant_id, user_id=user_id, week=week)
            for tenant_id, user_id in users
        ]
        async with ctx.transaction() as connection:
            await ctx.enqueue_many_in(connection, send_weekly_summary, payloads)
        summaries += len(users)
    ctx.log.info("Weekly summaries asked for", week=week, summaries=summaries)
    return {"week": week, "summaries": summaries}
