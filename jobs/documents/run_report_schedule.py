"""Make the report that a tenant's people have asked for again and again."""

from uuid import UUID

from pydantic import AwareDatetime

from jobs.documents import queries
from jobs.documents.core.schedules import last_period
from jobs.documents.generate_report import ReportRequest, generate_report
from jobs.kit import Cancel, JobContext, TenantPayload, job


class DueReport(TenantPayload):
    """A tick of a report's schedule."""

    report_schedule_id: UUID
    due_at: AwareDatetime


@job("documents.run_report_schedule", queue="document")
async def run_report_schedule(ctx: JobContext, payload: DueReport) -> dict[str, str]:
    """The report is about the last day, week or month that was over when it was due."""
    wanted = await queries.find_report_schedule(
        ctx.db, payload.tenant_id, payload.report_schedule_id
    )
    if wanted is None:
        raise Cancel("nobody wants this report any more")
    period = last_period(wanted.period, payload.due_at, wanted.timezone)
    request = ReportRequest.model_validate(
        {
            "tenant_id": payload.tenant_id,
            "report_type": wanted.report_type,
            "format": wanted.format,
            "language": wanted.language,
            "period_from": period.first,
            "period_to": period.last,
        }
    )
    enqueued = await ctx.enqueue(generate_report, request)
    return {"run_id": enqueued.run_id, "period": f"{period.first} to {period.last}"}
