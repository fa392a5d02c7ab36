"""One message of a sequence to one contact: by which channels it leaves, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from clients.errors import RecipientUnreachableError
from jobs.kit import JobContext, Snooze
from jobs.kit.sending import Check, Recording
from jobs.messaging.catalogue import kind_of
from jobs.messaging.core.channels import Channel
from jobs.messaging.profile import Profile
from jobs.messaging.writing import SmsTooLongError, write_mail, write_sms, zone_of
from jobs.nurture.contacts.contact import Contact
from jobs.nurture.core import StepChannel, StepState, in_order, route, skip_reason
from jobs.nurture.personalising import rewording
from jobs.nurture.wording import offered_channels

Result = Literal["sent", "already_sent", "suppressed", "unreachable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be sent; once for each key, contact and channel.

    `strict`: the tenant's own template works, or nothing is sent. `personalise`: a mail's opening
    may be said in other words; each letter of an SMS is paid for, and stays. `check` looks again
    before each message leaves.
    """

    template: str
    channel: StepChannel
    values: Mapping[str, str] = field(repr=False)
    key: str
    strict: bool = False
    personalise: bool = False
    check: Check | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it, by channel. `reason` why it was skipped; `is_recorded`: what was to be
    written with the sending is.
    """

    state: StepState
    results: Mapping[Channel, str]
    reason: str | None = None
    is_recorded: bool = False


async def send(
    ctx: JobContext,
    profile: Profile,
    contact: Contact,
    wanted: Wanted,
    recording: Recording | None = None,
) -> Outcome:
    """Send it by the contact's channels; by the other where the provider refuses the address.

    Raises Snooze through quiet hours, after what need not wait has left; and what sending raises:
    SmsTooLongError only where no mail left in the place of the SMS.
    """
    locale = contact.recipient.locale
    offered = await offered_channels(ctx.db, profile.tenant_id, wanted.template, locale)
    choice = route(wanted.channel, contact.standing, offered=offered)
    if not choice:
        reason = skip_reason(contact.standing, offered=offered)
        _skipped(ctx, wanted, reason)
        return Outcome(state="skipped", results={}, reason=reason)
    is_quiet = profile.quiet_until(ctx.now(), zone_of(contact.recipient)) is not None
    order = in_order(choice.channels, waiting={"sms"} if is_quiet else ())
    results: dict[Channel, Result] = {}
    too_long: SmsTooLongError | None = None
    for channel in order:
        last = recording if channel == order[-1] else None
        try:
            results[channel] = await _send_by(ctx, channel, profile, contact, wanted, last)
        except SmsTooLongError as error:
            ctx.log.warning("An SMS would be too long", reason=str(error))
            results[channel], too_long = "unreachable", error
    recorder = order[-1]
    if choice.otherwise and "unreachable" in results.values():
        recorder = choice.otherwise
        results[recorder] = await _send_by(ctx, recorder, profile, contact, wanted, recording)
    if too_long is not None and not any(map(_has_left, results.values())):
        raise too_long
    return _outcome(ctx, wanted, results, is_recorded=_has_left(results[recorder]))


async def _send_by(
    ctx: JobContext,
    channel: Channel,
    profile: Profile,
    contact: Contact,
    wanted: Wanted,
    recording: Recording | None,
) -> Result:
    to, values, strict = contact.recipient, wanted.values, wanted.strict
    try:
        if channel == "email":
            reword = rewording(ctx, to) if wanted.personalise else None
            mail = await write_mail(ctx, wanted.template, to, values, strict=strict, reword=reword)
            receipt = await ctx.mailer.send(
                mail, key=wanted.key, recording=recording, check=wanted.check
            )
        else:
            _wait_for_morning(ctx, profile, contact)
            sms = await write_sms(ctx, wanted.template, to, values, strict=strict)
            receipt = await ctx.texter.send(
                sms, key=wanted.key, recording=recording, check=wanted.check
            )
    except SmsTooLongError:
        raise
    except RecipientUnreachableError:
        return "unreachable"
    if receipt.status == "already_sent":
        return "already_sent"
    return "sent" if receipt.status == "sent" else "suppressed"


def _wait_for_morning(ctx: JobContext, profile: Profile, contact: Contact) -> None:
    until = profile.quiet_until(ctx.now(), zone_of(contact.recipient))
    if until is not None:
        raise Snooze(until - ctx.now(), "quiet hours where the contact lives")


def _has_left(result: Result) -> bool:
    return result in {"sent", "already_sent"}


def _outcome(
    ctx: JobContext, wanted: Wanted, results: dict[Channel, Result], *, is_recorded: bool
) -> Outcome:
    if any(_has_left(result) for result in results.values()):
        return Outcome(state="sent", results=results, is_recorded=is_recorded)
    reason = "suppressed" if "suppressed" in results.values() else "unreachable"
    _skipped(ctx, wanted, reason)
    state: StepState = "suppressed" if reason == "suppressed" else "skipped"
    return Outcome(state=state, results=results, reason=reason)


def _skipped(ctx: JobContext, wanted: Wanted, reason: str) -> None:
    kind = kind_of(wanted.template)
    ctx.meter.skipped(channel=wanted.channel, template=kind, reason=reason)
    ctx.log.info("Nothing is sent", template=kind, channel=wanted.channel, reason=reason)
