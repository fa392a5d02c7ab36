"""Remind a contact of an overdue invoice."""

from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Field

from clients.errors import RequestRejectedError
from clients.graphemes import shortened
from jobs.dunning import queries
from jobs.dunning.core.cases import Case, obstacle, owed, own_fee, settled
from jobs.dunning.core.links import LinkRefusedError, payment_link
from jobs.dunning.core.money import is_known
from jobs.dunning.core.stages import DEFAULTS, MOST_STAGES, Stage
from jobs.dunning.core.words import reminder_values
from jobs.dunning.sending import Reminder, send, tenant_zone
from jobs.kit import Cancel, JobContext, LegacyPayload, Snooze, job
from jobs.kit.sending import Recording
from jobs.messaging.core.channels import Channel, results_of
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY, SMS_LIMITS
from jobs.messaging.profile import Profile, profile_of

if TYPE_CHECKING:
    from jobs.kit.sending import Connection

_LONGEST_NUMBER = 100  # characters of an invoice's number that a message shows


class PaymentReminder(LegacyPayload):
    """`step` is the position of a stage of the tenant's."""

    contact_id: UUID
    invoice_id: UUID
    step: int = Field(ge=1, le=MOST_STAGES)


@job(
    "dunning.send_payment_reminder",
    queue="dunning",
    timeout=120,
    retry=SENDING_RETRY,
    rate_limits=(*MAIL_LIMITS, *SMS_LIMITS),
    # While it has a result it is this run; what a pause cancelled may be asked for anew soon.
    result_ttl=60,
    idempotency_key="{invoice_id}:{step}",
    exposed=True,
)
async def send_payment_reminder(ctx: JobContext, payload: PaymentReminder) -> dict[str, Any]:
    """Each stage of an invoice once, one reminder a day and contact, none when it is settled.

    Returns what became of it by channel. A link that nobody may be sent to is a dead letter: a
    reminder without its link would hide from the tenant that its customers cannot pay.
    """
    profile = await profile_of(ctx.db, payload.tenant_id)
    today = ctx.now().astimezone(tenant_zone(profile)).date()
    case = await _find(ctx, payload, today)
    stages = await queries.stages(ctx.db, payload.tenant_id) or DEFAULTS
    reason = obstacle(case, stages, step=payload.step, today=today)
    if reason is not None:
        raise Cancel(reason)
    stage = next(one for one in stages if one.position == payload.step)
    reminder = _reminder(payload, case, stage, profile, today)
    sent = await send(
        ctx, replace(reminder, check=partial(_check, ctx, payload, case, today)), profile
    )
    return {"results": results_of(sent)}


async def _find(ctx: JobContext, payload: PaymentReminder, today: date) -> Case:
    """Raises Cancel."""
    case = await queries.find_case(
        ctx.db,
        payload.tenant_id,
        invoice_id=payload.invoice_id,
        contact_id=payload.contact_id,
        step=payload.step,
        today=today,
    )
    if case is None:
        raise Cancel("there is no such invoice of this contact any more")
    return case


async def _check(ctx: JobContext, payload: PaymentReminder, before: Case, today: date) -> None:
    """It may have been paid since. Raises Cancel, and Snooze when something else is to be said."""
    case = await _find(ctx, payload, today)
    reason = settled(case)
    if reason is not None:
        raise Cancel(reason)
    if case.invoice != before.invoice:
        raise Snooze(timedelta(seconds=1), "the invoice has changed meanwhile")


def _reminder(
    payload: PaymentReminder, case: Case, stage: Stage, profile: Profile, today: date
) -> Reminder:
    """Raises RequestRejectedError for an invoice that cannot be asked for."""
    invoice, link = case.invoice, case.invoice.payment_link
    if not is_known(invoice.currency):
        raise RequestRejectedError("invoices.currency: is not one of ISO 4217")
    try:
        link = None if link is None else payment_link(link, profile.payment_hosts)
    except LinkRefusedError as error:
        raise RequestRejectedError(f"invoices.payment_link: {error}") from None

    def recording(channel: Channel) -> Recording:
        async def record(connection: "Connection") -> None:
            await queries.record_notice(
                connection,
                payload.tenant_id,
                invoice=invoice,
                position=stage.position,
                sent_on=today,
                fee=own_fee(invoice, stage),
                channel=channel,
            )

        return record

    return Reminder(
        tenant_id=payload.tenant_id,
        contact_id=payload.contact_id,
        contact=case.contact,
        stage=stage,
        values=reminder_values(
            owed(case, stage),
            tone=stage.tone,
            days_overdue=invoice.days_overdue(today),
            payment_link=link,
            invoice_number=shortened(" ".join(invoice.number.split()), _LONGEST_NUMBER),
            due_on=invoice.due_on,
        ),
        key=f"dunning:{invoice.invoice_id}:{stage.position}",
        day=today,
        done=_done(case, stage),
        recording=recording,
    )


def _done(case: Case, stage: Stage) -> frozenset[Channel]:
    last = case.last
    return last.channels if last is not None and last.position == stage.position else frozenset()
