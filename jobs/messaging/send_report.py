"""Mail a report that was made to somebody who asked for it."""

from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from clients.mail import Attachment, ascii_address
from clients.object_storage import StorageError, StoredObject
from jobs.kit import DeliveryReceipt, JobContext, LegacyPayload, job, tenant_file
from jobs.kit.schedule import checked_zone
from jobs.messaging.attachments import LARGEST, attachment_of
from jobs.messaging.core.recipient import Recipient
from jobs.messaging.core.reports import file_name, period_text
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY
from jobs.messaging.writing import write_mail

_LINK_LASTS = timedelta(days=7)


def _is_address(text: str) -> str:
    if ascii_address(text) is None:
        raise ValueError("not an e-mail address")
    return text


class ReportMail(LegacyPayload):
    """`report_key` names the file, of the tenant's reports in storage; both days belong to its
    period. `report_schedule_id` is of the schedule that it was made for.
    """

    email: Annotated[str, Field(max_length=254), AfterValidator(_is_address)]
    report_key: Annotated[str, tenant_file("reports")]
    title: str = Field(min_length=1, max_length=200)
    period_from: date
    period_to: date
    language: Literal["en", "tr"] = "en"
    timezone: Annotated[str, AfterValidator(checked_zone)] = "UTC"
    report_schedule_id: UUID | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.period_from > self.period_to:
            raise ValueError("period_from is after period_to")
        return self

    @property
    def delivery_key(self) -> str:
        """A report is mailed once to an address: that of a schedule for each period."""
        subject = self.report_schedule_id or self.report_key
        return f"report:{subject}:{self.period_from}:{self.period_to}"


@job(
    "messaging.send_report",
    queue="email",
    aliases=("email.send_report", "report", "weekly-report"),
    exposed=True,
    sensitive=("email",),
    retry=SENDING_RETRY,
    rate_limits=MAIL_LIMITS,
)
async def send_report(ctx: JobContext, payload: ReportMail) -> DeliveryReceipt:
    """With the file, or (larger than 10 MB) with where it is. One that is not there yet is waited
    for, as an error is.
    """
    stored = await ctx.storage.head(payload.report_key)
    name = file_name(payload.title, payload.period_from, payload.period_to, payload.report_key)
    files: tuple[Attachment, ...] = ()
    if stored.size <= LARGEST:
        files = (await attachment_of(ctx, payload.report_key, filename=name),)
    recipient = Recipient(
        tenant_id=payload.tenant_id,
        name="",
        locale=payload.language,
        timezone=payload.timezone,
        email=payload.email,
    )
    values = {
        "title": " ".join(payload.title.split()),
        "period": period_text(payload.period_from, payload.period_to, locale=payload.language),
        "made_at": stored.modified_at,
        "filename": name,
        "is_attached": bool(files),
        **({"url": None, "url_until": None} if files else await _place(ctx, stored)),
        "place": payload.report_key,
    }
    mail = await write_mail(ctx, "report", recipient, values, attachments=files)
    return await ctx.mailer.send(mail, key=payload.delivery_key)


async def _place(ctx: JobContext, stored: StoredObject) -> dict[str, Any]:
    """A link to the file, where the storage has links."""
    until = ctx.now() + _LINK_LASTS
    try:
        url = await ctx.storage.signed_url(stored.key, expires_in=_LINK_LASTS)
    except StorageError:
        return {"url": None, "url_until": None}
    return {"url": url, "url_until": until}
