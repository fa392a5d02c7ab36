"""Remind a customer of an appointment."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, Field

from clients.errors import RecipientUnreachableError, RequestRejectedError
from clients.mail import ascii_address
from clients.phone import sms_number
from jobs.kit import Cancel, DeliveryReceipt, JobContext, LegacyPayload, RateLimit, Snooze, job
from jobs.messaging.catalogue import kind_of
from jobs.messaging.core.channels import CHANNELS, Channel, choose
from jobs.messaging.core.recipient import Recipient
from jobs.messaging.limits import SENDING_RETRY, SMS_LIMITS
from jobs.messaging.profile import Profile, profile_of
from jobs.messaging.writing import write_mail, write_sms
from jobs.reminders import core, queries
from jobs.reminders.core import Appointment, Reason, ReminderType

# Each run is of one channel, and counts there. With keys of their own: who fills the others' with
# newsletters holds up no reminder.
_LIMITS = tuple(
    RateLimit(limit.key.replace("sms", "reminders:{channel}"), limit.count, limit.per)
    for limit in SMS_LIMITS
)


def _in_utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


class AppointmentReminder(LegacyPayload):
    """A reminder by one channel; without one, by each that the contact wants.

    `scheduled_for` is when the appointment was to start: one that was moved since is left alone.
    `message` says it in the producer's own words.
    """

    contact_id: UUID
    appointment_id: UUID
    scheduled_for: Annotated[AwareDatetime, AfterValidator(_in_utc)]
    reminder_type: ReminderType
    message: str | None = Field(None, max_length=1000)
    channel: Channel | None = None


@job(
    "reminders.send_appointment_reminder",
    queue="reminders",
    aliases=("process-reminder",),
    idempotency_key="{appointment_id}:{reminder_type}:{scheduled_for}:{channel}",
    retry=SENDING_RETRY,
    rate_limits=_LIMITS,
    sensitive=("message",),
    timeout=180,
    exposed=True,
)
async def send_appointment_reminder(
    ctx: JobContext, payload: AppointmentReminder
) -> dict[str, Any]:
    """Once per appointment, start, type and channel, if it is still of use when it runs.

    Returns the channel that was taken and what became of the message, or how many runs there are
    now, one for each channel.
    """
    appointment = await _look(ctx, payload)
    _check_zones(appointment)
    profile = await profile_of(ctx.db, payload.tenant_id)
    reachable = _reachable(appointment, profile)
    if payload.channel is None:
        return await _remind_by_each(ctx, payload, appointment, reachable)
    order = core.in_order(payload.channel, consented=appointment.consented, reachable=reachable)
    if not order:
        is_agreed = payload.channel in appointment.consented
        raise _skipped(ctx, payload, "unreachable" if is_agreed else "no_consent")
    return await _remind(ctx, payload, appointment, profile, order)


async def _look(ctx: JobContext, payload: AppointmentReminder) -> Appointment:
    """Raises Cancel when there is nothing to remind of."""
    appointment = await queries.find_appointment(ctx.db, payload.tenant_id, payload.appointment_id)
    reason = core.why_not(
        appointment, payload.contact_id, payload.scheduled_for, payload.reminder_type, ctx.now()
    )
    if appointment is None or reason is not None:
        raise _skipped(ctx, payload, reason or "gone")
    return appointment


async def _check(ctx: JobContext, payload: AppointmentReminder, channel: Channel) -> None:
    """Whether it is still to be said when it is about to leave. Raises Cancel."""
    appointment = await _look(ctx, payload)
    if not {channel, payload.channel} <= appointment.consented:
        raise _skipped(ctx, payload, "no_consent")


async def _remind_by_each(
    ctx: JobContext,
    payload: AppointmentReminder,
    appointment: Appointment,
    reachable: frozenset[Channel],
) -> dict[str, Any]:
    choice = choose(
        appointment.preferred_channel, consented=appointment.consented, reachable=reachable
    )
    if not choice:
        raise _skipped(ctx, payload, "unreachable" if appointment.consented else "no_consent")
    async with ctx.transaction() as connection:
        await ctx.enqueue_many_in(
            connection,
            send_appointment_reminder,
            [payload.model_copy(update={"channel": channel}) for channel in choice.channels],
        )
    return {"enqueued": len(choice.channels)}


async def _remind(
    ctx: JobContext,
    payload: AppointmentReminder,
    appointment: Appointment,
    profile: Profile,
    order: tuple[Channel, ...],
) -> dict[str, Any]:
    """By the first channel that takes it. Raises what the one that refused did, and Snooze."""
    refusal: RecipientUnreachableError | None = None
    for channel in order:
        if channel == "sms" and not _may_ring(ctx, payload, appointment, profile):
            continue
        try:
            receipt = await _send(ctx, payload, appointment, profile, channel)
        except RecipientUnreachableError as error:
            ctx.log.info("This channel does not reach them", channel=channel)
            refusal = error
            continue
        if receipt.status != "suppressed" or channel == order[-1]:
            return {"channel": channel, "status": receipt.status}
    if refusal is not None:
        raise refusal
    raise _skipped(ctx, payload, "quiet_hours")


async def _send(
    ctx: JobContext,
    payload: AppointmentReminder,
    appointment: Appointment,
    profile: Profile,
    channel: Channel,
) -> DeliveryReceipt:
    key = core.delivery_key(appointment, payload.reminder_type, channel)
    recording = partial(
        queries.mark_reminded,
        tenant_id=payload.tenant_id,
        appointment=appointment,
        reminder_type=payload.reminder_type,
        sent_at=ctx.now(),
    )
    check = partial(_check, ctx, payload, channel)
    to = Recipient(
        tenant_id=payload.tenant_id,
        name=appointment.full_name,
        locale=appointment.locale,
        timezone=appointment.timezone,  # it is told by the clock of where it takes place
        email=appointment.email,
        phone=appointment.phone,
    )
    values = core.values(appointment, payload.reminder_type, payload.message, ctx.now())
    if channel == "sms":
        sms = await write_sms(ctx, core.TEMPLATE, to, values)
        return await ctx.texter.send(sms, key=key, recording=recording, check=check)
    invitation = core.invitation(appointment, profile.tenant_name)
    mail = await write_mail(ctx, core.TEMPLATE, to, values, invitation=invitation)
    return await ctx.mailer.send(mail, key=key, recording=recording, check=check)


def _reachable(appointment: Appointment, profile: Profile) -> frozenset[Channel]:
    channels: set[Channel] = set()
    if ascii_address(appointment.email or "") is not None:
        channels.add("email")
    if sms_number(appointment.phone or "", country=profile.country) is not None:
        channels.add("sms")
    return frozenset(channels)


def _may_ring(
    ctx: JobContext, payload: AppointmentReminder, appointment: Appointment, profile: Profile
) -> bool:
    """False when quiet hours end too late. Raises Snooze until they do."""
    now = ctx.now()
    until = profile.quiet_until(now, ZoneInfo(appointment.contact_timezone))
    of_use = core.useful_until(appointment.starts_at, payload.reminder_type)
    if until is not None and until < of_use:
        raise Snooze(until - now, "quiet hours")
    return until is None


def _check_zones(appointment: Appointment) -> None:
    zones = {
        "appointments.timezone, or its store's,": appointment.timezone,
        "contacts.timezone": appointment.contact_timezone,
    }
    for column, name in zones.items():
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            sentence = f"{column} of this appointment is not a name of the IANA database"
            raise RequestRejectedError(sentence) from None


def _skipped(ctx: JobContext, payload: AppointmentReminder, reason: Reason) -> Cancel:
    """Counted by channel, and said without anybody's name."""
    for channel in CHANNELS if payload.channel is None else (payload.channel,):
        ctx.meter.skipped(channel=channel, template=kind_of(core.TEMPLATE), reason=reason)
    return Cancel(core.REASONS[reason])
