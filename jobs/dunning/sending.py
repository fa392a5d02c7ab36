"""One reminder on its way to one contact, by each of its channels."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from clients.errors import RecipientUnreachableError, RequestRejectedError
from clients.mail import ascii_address
from clients.phone import sms_number
from jobs.dunning.core.cases import Contact
from jobs.dunning.core.stages import Stage, ways
from jobs.dunning.turns.queries import give_back_turn, take_turn
from jobs.kit import Cancel, JobContext, Snooze
from jobs.kit.sending import Check, Recording
from jobs.messaging.catalogue import kind_of
from jobs.messaging.core.channels import Channel, Choice
from jobs.messaging.core.recipient import Recipient
from jobs.messaging.profile import Profile
from jobs.messaging.writing import write_mail, write_sms, zone_of

TEMPLATE = "payment_reminder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """What is to be said to whom, on a day of the tenant's calendar.

    `key` makes it one message for each channel and address. `recording` gives what is written when
    a channel's message left, `check` looks again before it does; `done` are the channels by which
    it did before.
    """

    tenant_id: UUID
    contact_id: UUID
    contact: Contact
    stage: Stage
    values: Mapping[str, Any]
    key: str
    day: date
    done: Collection[Channel] = ()
    recording: Callable[[Channel], Recording] | None = None
    check: Check | None = None

    @property
    def recipient(self) -> Recipient:
        return Recipient(
            tenant_id=self.tenant_id,
            name=self.contact.full_name,
            locale=self.contact.locale,
            timezone=self.contact.timezone,
            email=self.contact.email,
            phone=self.contact.phone,
        )


def tenant_zone(profile: Profile) -> ZoneInfo:
    """By whose calendar days are counted. Raises RequestRejectedError."""
    try:
        return ZoneInfo(profile.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RequestRejectedError("tenants.timezone: not a name of the IANA database") from None


async def send(ctx: JobContext, reminder: Reminder, profile: Profile) -> dict[Channel, str]:
    """Returns what became of it by channel: sent, already_sent, suppressed or unreachable.

    All messages of a day leave together, so a telephone's quiet hours hold up the mail too.
    Raises Cancel when nothing may be sent, Snooze in quiet hours, and what mailer and texter raise.
    """
    choice = _choice(ctx, reminder, profile)
    _wait_for_day(ctx, reminder, profile, choice.channels)
    if not await _take_turn(ctx, reminder):
        raise Cancel("this contact was reminded today already")
    sent = await _send_by(ctx, reminder, profile, choice)
    if not (reminder.done or _have_left(sent)):
        await _give_back_turn(ctx, reminder)
        raise Cancel("this contact has opted out")
    return sent


def _choice(ctx: JobContext, reminder: Reminder, profile: Profile) -> Choice:
    """Raises Cancel when there is no way."""
    contact, wanted = reminder.contact, reminder.stage.channels
    usable = _usable(contact, profile.country)
    if "sms" in usable and not contact.agrees_to_sms:
        usable.discard("sms")
        if "sms" in wanted:
            _skip(ctx, "sms", "no_consent")
    opted_out: set[Channel] = {"email"} if contact.has_unsubscribed else set()
    choice = ways(wanted, preferred=contact.preferred_channel, usable=usable, opted_out=opted_out)
    if not choice:
        reason = "opted_out" if opted_out & set(wanted) else "unreachable"
        for channel in sorted(wanted):
            _skip(ctx, channel, reason)
        raise Cancel("there is no channel by which this contact may be reminded")
    if not reminder.done:
        return choice
    # What is still to go is by the stage's own channels: another one would be a second message.
    left = set(choice.channels) & set(wanted) - set(reminder.done)
    if not left:
        raise Cancel("this stage was sent already")
    return Choice(tuple(sorted(left)))


def _usable(contact: Contact, country: str) -> set[Channel]:
    """The channels that there is a working address for, as far as is known."""
    usable: set[Channel] = set()
    if contact.email is not None and ascii_address(contact.email) is not None:
        usable.add("email")
    if contact.mail_suppression is not None:
        usable.discard("email")
    if contact.phone is not None and sms_number(contact.phone, country=country) is not None:
        usable.add("sms")
    return usable


async def _send_by(
    ctx: JobContext, reminder: Reminder, profile: Profile, choice: Choice
) -> dict[Channel, str]:
    """By all of its channels, or by the other one when nothing reaches them by these.

    Raises RecipientUnreachableError when nothing reaches them at all.
    """
    sent: dict[Channel, str] = {}
    unreachable: RecipientUnreachableError | None = None
    ahead = list(choice.channels)
    while ahead:
        channel = ahead.pop(0)
        try:
            sent[channel] = await _send_one(ctx, reminder, channel)
            # Whoever wants no SMS may be written to by mail, where they prefer nothing else; not
            # the other way round.
            if (channel, sent[channel]) == ("sms", "suppressed"):
                ahead += _other_way(choice, sent)
        except RecipientUnreachableError as error:
            ctx.log.warning("A contact cannot be reached", channel=channel)
            _skip(ctx, channel, "unreachable")
            sent[channel], unreachable = "unreachable", error
            others = _other_way(choice, sent)
            _wait_for_day(ctx, reminder, profile, others)
            ahead += others
        except Cancel:
            if not _have_left(sent):
                await _give_back_turn(ctx, reminder)
            raise
    if unreachable is not None and not reminder.done and set(sent.values()) == {"unreachable"}:
        await _give_back_turn(ctx, reminder)
        raise unreachable
    return sent


def _have_left(sent: Mapping[Channel, str]) -> bool:
    return not {"sent", "already_sent"}.isdisjoint(sent.values())


def _other_way(choice: Choice, sent: Collection[Channel]) -> list[Channel]:
    return [] if choice.otherwise is None or choice.otherwise in sent else [choice.otherwise]


async def _send_one(ctx: JobContext, reminder: Reminder, channel: Channel) -> str:
    recording = None if reminder.recording is None else reminder.recording(channel)
    to, values = reminder.recipient, reminder.values
    key, check = reminder.key, reminder.check
    if channel == "sms":
        sms = await write_sms(ctx, TEMPLATE, to, values)
        return (await ctx.texter.send(sms, key=key, recording=recording, check=check)).status
    mail = await write_mail(ctx, TEMPLATE, to, values)
    return (await ctx.mailer.send(mail, key=key, recording=recording, check=check)).status


def _wait_for_day(
    ctx: JobContext, reminder: Reminder, profile: Profile, channels: Collection[Channel]
) -> None:
    """Raises Snooze while a telephone is not to ring."""
    if "sms" not in channels:
        return
    now = ctx.now()
    until = profile.quiet_until(now, zone_of(reminder.recipient))
    if until is not None:
        raise Snooze(until - now, "it is quiet where they live")


def _skip(ctx: JobContext, channel: Channel, reason: str) -> None:
    ctx.log.info("Not reminded of a payment", channel=channel, reason=reason)
    ctx.meter.skipped(channel=channel, template=kind_of(TEMPLATE), reason=reason)


async def _take_turn(ctx: JobContext, reminder: Reminder) -> bool:
    return await take_turn(
        ctx.db, reminder.tenant_id, reminder.contact_id, day=reminder.day, key=reminder.key
    )


async def _give_back_turn(ctx: JobContext, reminder: Reminder) -> None:
    """Unless a message of it left before: then the day is its own."""
    if not reminder.done:
        await give_back_turn(
            ctx.db, reminder.tenant_id, reminder.contact_id, day=reminder.day, key=reminder.key
        )
