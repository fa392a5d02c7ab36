"""Have the report of the week that is over made for every tenant."""

from typing import Literal, cast

from jobs.documents import queries
from jobs.documents.core.schedules import last_period
from jobs.documents.generate_report import ReportRequest, generate_report
from jobs.kit import Cron, JobContext, Tick, job


@job("documents.find_due_reports", queue="document", schedule=Cron("0 8 * * 1"), timeout=1800)
async def find_due_reports(ctx: JobContext, tick: Tick) -> dict[str, int]:
    """The week is the tenant's own. Done twice it makes the same reports, under the same names."""
    reports = 0
    async for tenant in queries.tenants(ctx.db):
        week = last_period("week", tick.due_at, tenant.timezone)
        request = ReportRequest(
            tenant_id=tenant.tenant_id,
            report_type="opportunities",
            format="pdf",
            period_from=week.first,
            period_to=week.last,
            language=cast("Literal['en', 'tr']", tenant.locale),
        )
        async with ctx.transaction() as connection:
            await ctx.enqueue_in(connection, generate_report, request)
        reports += 1
    ctx.log.info("Weekly reports asked for", reports=reports)
    return {"reports": reports}
