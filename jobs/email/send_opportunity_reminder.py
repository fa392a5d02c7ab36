"""Remind a user of the deadlines of the opportunities on their list."""

from collections.abc import Mapping
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BeforeValidator, Field

from clients.errors import RequestRejectedError
from clients.mail import Attachment
from clients.object_storage import ObjectTooLargeError
from jobs.email import queries
from jobs.email.core import opportunities
from jobs.email.payloads import UserPayload
from jobs.kit import Cancel, DeliveryReceipt, JobContext, job, tenant_file
from jobs.messaging.attachments import attachment_of
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY
from jobs.messaging.outcomes import queries as deliveries
from jobs.messaging.writing import write_mail, zone_of

_NAMES = ("noticeId", "notice_id", "opportunityId", "opportunity_id", "id")


def _notice_id(value: object) -> object:
    """Of an object that the older services gave, its id."""
    if not isinstance(value, Mapping):
        return value
    found = next((value[name] for name in _NAMES if value.get(name) is not None), None)
    if found is None:
        raise ValueError(f"give a notice's id, or an object with {_NAMES[0]}")
    return found


NoticeId = Annotated[str, Field(min_length=1, max_length=100)]


class OpportunityReminder(UserPayload):
    """Which notices, by their ids; the older services call them `opportunities`, and give ids or
    objects with one: whatever else these say, the mail says what the database does.

    `report_key` names a file of the tenant's reports in storage, which is attached. `asked_at` says
    which day's reminder it is, by the user's calendar; without it, that of the day it leaves on.
    """

    notice_ids: tuple[NoticeId, ...] = Field(default=(), max_length=200)
    opportunities: tuple[Annotated[NoticeId, BeforeValidator(_notice_id)], ...] = Field(
        default=(), max_length=200
    )
    report_key: Annotated[str, tenant_file("reports")] | None = None
    asked_at: AwareDatetime | None = None


@job(
    "email.send_opportunity_reminder",
    queue="email",
    aliases=("opportunity-reminder",),
    exposed=True,
    retry=SENDING_RETRY,
    rate_limits=MAIL_LIMITS,
)
async def send_opportunity_reminder(
    ctx: JobContext, payload: OpportunityReminder
) -> DeliveryReceipt:
    """At most one mail a day and user; none when nothing on the list is open any more.

    Tried again after midnight it is the same mail, and one that was held up until the next day
    stands for that day's, too.
    """
    recipient = await queries.find_recipient(ctx.db, payload.tenant_id, payload.user_id)
    if recipient is None:
        raise Cancel("there is no such user any more")
    key = await _key(ctx, payload, zone_of(recipient))
    wanted = (*payload.notice_ids, *payload.opportunities)
    found = await queries.opportunities(ctx.db, payload.tenant_id, wanted)
    still_open = opportunities.open_opportunities(found, now=ctx.now())
    if not still_open:
        raise Cancel("no opportunity on the list is open")
    report = await _report(ctx, payload.report_key) if payload.report_key else None
    values = opportunities.reminder_values(
        still_open,
        now=ctx.now(),
        zone=recipient.zone,
        locale=recipient.locale,
        report=report.filename if report else None,
    )
    attachments = (report,) if report else ()
    mail = await write_mail(ctx, "opportunity_reminder", recipient, values, attachments=attachments)
    return await ctx.mailer.send(mail, key=key)


async def _key(ctx: JobContext, payload: OpportunityReminder, zone: ZoneInfo) -> str:
    """Raises Cancel when the reminder of another day has just left."""
    now = ctx.now()
    prefix = opportunities.reminder_prefix(payload.user_id)
    own = await deliveries.key_of_run(ctx.db, payload.tenant_id, ctx.run, prefix=prefix)
    if own is not None:
        return own
    day = (payload.asked_at or now).astimezone(zone).date()
    others = opportunities.other_keys(payload.user_id, day, today=ctx.today(zone.key))
    since = opportunities.left_lately(now, zone)
    if await deliveries.has_left_since(ctx.db, payload.tenant_id, others, since):
        raise Cancel("another day's reminder was held up until today, and has just left")
    return opportunities.reminder_key(payload.user_id, day)


async def _report(ctx: JobContext, key: str) -> Attachment:
    """Raises ObjectNotFoundError when there is no report yet, which is worth another try."""
    try:
        return await attachment_of(ctx, key)
    except ObjectTooLargeError as error:
        raise RequestRejectedError("the report is larger than the 10 MB of a mail") from error
