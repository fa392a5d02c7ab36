"""Make the report that a tenant's people have asked for again and again, and mail it to them."""

from typing import Any
from uuid import UUID

from pydantic import AwareDatetime

from clients.mail import ascii_address
from jobs.documents import queries
from jobs.documents.core.model import Period
from jobs.documents.core.schedules import ReportSchedule, last_period
from jobs.documents.generate_report import ReportReceipt, ReportRequest, make_report
from jobs.kit import Cancel, JobContext, TenantPayload, job
from jobs.messaging.send_report import ReportMail, send_report


class DueReport(TenantPayload):
    """A tick of a report's schedule."""

    report_schedule_id: UUID
    due_at: AwareDatetime


# As long as a report may take.
@job("documents.run_report_schedule", queue="document", timeout=900)
async def run_report_schedule(ctx: JobContext, payload: DueReport) -> dict[str, Any]:
    """The report is about the last day, week or month that was over when it was due.

    Done twice it makes the same file, and a recipient gets one mail for each period.
    """
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
    made = await make_report(ctx, request)
    mails = await _mail(ctx, payload, wanted, period, made)
    return {
        "key": made.key,
        "rows": made.row_count,
        "period": f"{period.first} to {period.last}",
        "mails": mails,
    }


async def _mail(
    ctx: JobContext,
    payload: DueReport,
    wanted: ReportSchedule,
    period: Period,
    made: ReportReceipt,
) -> int:
    """How many were enqueued."""
    addresses = [one for one in wanted.recipients if ascii_address(one) is not None]
    if len(addresses) < len(wanted.recipients):
        ctx.log.warning(
            "Not all recipients of a report are addresses",
            report_schedule_id=str(payload.report_schedule_id),
            left_out=len(wanted.recipients) - len(addresses),
        )
    async with ctx.transaction() as connection:
        for address in addresses:
            mail = ReportMail.model_validate(
                {
                    "tenant_id": payload.tenant_id,
                    "email": address,
                    "report_key": made.key,
                    "title": wanted.name,
                    "period_from": period.first,
                    "period_to": period.last,
                    "language": wanted.language,
                    "timezone": wanted.timezone,
                    "report_schedule_id": payload.report_schedule_id,
                }
            )
            await ctx.enqueue_in(connection, send_report, mail)
    return len(addresses)
