"""Remind a user of the deadlines of the opportunities on their list."""

from types import MappingProxyType
from typing import Annotated
from uuid import UUID

from pydantic import Field

from clients.errors import RequestRejectedError
from clients.mail import Attachment
from clients.object_storage import ObjectTooLargeError
from jobs.email import core, queries
from jobs.kit import Cancel, DeliveryReceipt, JobContext, TenantPayload, job, tenant_file
from jobs.messaging.limits import MAIL_LIMITS
from jobs.messaging.writing import write_mail, zone_of

_MEDIA_TYPES = MappingProxyType(
    {
        "csv": "text/csv",
        "pdf": "application/pdf",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
)
_LARGEST_REPORT = 10 * 1024 * 1024  # bytes


class OpportunityReminder(TenantPayload):
    """`report_key` names a file of the tenant's reports in storage, which is attached."""

    user_id: UUID
    notice_ids: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        max_length=200
    )
    report_key: Annotated[str, tenant_file("reports")] | None = None


@job(
    "email.send_opportunity_reminder",
    queue="email",
    aliases=("opportunity-reminder",),
    exposed=True,
    rate_limits=MAIL_LIMITS,
)
async def send_opportunity_reminder(
    ctx: JobContext, payload: OpportunityReminder
) -> DeliveryReceipt:
    """At most one mail a day and user; none when nothing on the list is open any more."""
    recipient = await queries.find_recipient(ctx.db, payload.tenant_id, payload.user_id)
    if recipient is None:
        raise Cancel("there is no such user any more")
    day = ctx.today(zone_of(recipient).key)
    found = await queries.opportunities(ctx.db, payload.tenant_id, payload.notice_ids)
    still_open = core.open_opportunities(found, now=ctx.now())
    if not still_open:
        raise Cancel("no opportunity on the list is open")
    report = await _report(ctx, payload.report_key) if payload.report_key else None
    values = core.reminder_values(
        still_open,
        now=ctx.now(),
        zone=recipient.zone,
        locale=recipient.locale,
        report=report.filename if report else None,
    )
    attachments = (report,) if report else ()
    mail = await write_mail(ctx, "opportunity_reminder", recipient, values, attachments=attachments)
    return await ctx.mailer.send(mail, key=core.reminder_key(payload.user_id, day))


async def _report(ctx: JobContext, key: str) -> Attachment:
    """Raises ObjectNotFoundError when there is no report yet, which is worth another try."""
    try:
        content = await ctx.storage.read(key, limit=_LARGEST_REPORT)
    except ObjectTooLargeError as error:
        raise RequestRejectedError("the report is larger than the 10 MB of a mail") from error
    filename = key.rpartition("/")[2]
    suffix = filename.rpartition(".")[2].lower()
    return Attachment(filename, _MEDIA_TYPES.get(suffix, "application/octet-stream"), content)
