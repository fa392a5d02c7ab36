"""Tell a user what their week was: new and closing opportunities, proposals, what the team did."""

from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from clients.errors import RequestRejectedError
from jobs.email import queries
from jobs.email.core import summary
from jobs.email.core.weeks import Week, week_before
from jobs.email.payloads import UserPayload
from jobs.email.weekly import queries as weekly
from jobs.kit import Cancel, DeliveryReceipt, JobContext, Snooze, job
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY
from jobs.messaging.outcomes import queries as deliveries
from jobs.messaging.writing import write_mail, zone_of

# Monday morning somewhere is at most so long before Monday begins anywhere else.
_LONGEST_WAIT = timedelta(days=2)


def _known_week(text: str) -> str:
    return str(Week.parse(text))


class WeeklySummary(UserPayload):
    """`week` as ISO 8601 writes it, 2026-W47; without it the last one that is over."""

    week: Annotated[str, AfterValidator(_known_week)] | None = None


@job(
    "email.send_weekly_summary",
    queue="email",
    aliases=("weekly-summary",),
    exposed=True,
    retry=SENDING_RETRY,
    rate_limits=MAIL_LIMITS,
)
async def send_weekly_summary(ctx: JobContext, payload: WeeklySummary) -> DeliveryReceipt:
    """One for each user and week, which goes from Monday to Monday where they live; none when there
    is nothing to tell.
    """
    recipient = await queries.find_recipient(ctx.db, payload.tenant_id, payload.user_id)
    if recipient is None:
        raise Cancel("there is no such user any more")
    zone, now = zone_of(recipient), ctx.now()
    week = Week.parse(payload.week) if payload.week else await _last_week(ctx, payload, zone)
    still_goes_on = week.ends_at(zone) - now
    if still_goes_on > _LONGEST_WAIT:
        raise RequestRejectedError("week: is not over yet; take an earlier one")
    if still_goes_on > timedelta(0):
        raise Snooze(week.told_at(zone) - now, "the week is not over where this user lives")
    facts = await weekly.facts(ctx.db, payload.tenant_id, payload.user_id, week, now=now, zone=zone)
    if facts.is_quiet:
        ctx.meter.skipped(channel="email", template="weekly-summary", reason="quiet_week")
        raise Cancel("there is nothing to tell of this week")
    values = summary.summary_values(facts, week, now=now, zone=zone, locale=recipient.locale)
    mail = await write_mail(ctx, "weekly_summary", recipient, values)
    return await ctx.mailer.send(mail, key=summary.summary_key(payload.user_id, week))


async def _last_week(ctx: JobContext, payload: WeeklySummary, zone: ZoneInfo) -> Week:
    """Tried again when the next week has begun, it is still the one that was told of, perhaps."""
    prefix = summary.summary_prefix(payload.user_id)
    own = await deliveries.key_of_run(ctx.db, payload.tenant_id, ctx.run, prefix=prefix)
    return week_before(ctx.today(zone.key)) if own is None else Week.parse(own[len(prefix) :])
