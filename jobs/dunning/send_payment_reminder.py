"""Remind a contact of an overdue invoice."""

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import Field

from clients.errors import RequestRejectedError
from clients.graphemes import shortened
from jobs.dunning import queries
from jobs.dunning.core.cases import Case, obstacle, owed, own_fee
from jobs.dunning.core.links import LinkRefusedError, payment_link
from jobs.dunning.core.money import is_known
from jobs.dunning.core.stages import DEFAULTS, MOST_STAGES, Stage
from jobs.dunning.core.words import reminder_values
from jobs.dunning.sending import Reminder, send, tenant_zone
from jobs.kit import Cancel, JobContext, LegacyPayload, job
from jobs.kit.sending import Recording
from jobs.messaging.core.channels import Channel
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
async def send_payment_reminder(ctx: JobContext, payload: PaymentReminder) -> dict[Channel, str]:
    """Each stage of an invoice once, one reminder a day and contact, none when it is settled.

    Returns what became of it by channel. A link that nobody may be sent to is a dead letter: a
    reminder without its link would hide from the tenant that its customers cannot pay.
    """
    profile = await profile_of(ctx.db, payload.tenant_id)
    today = ctx.now().astimezone(tenant_zone(profile)).date()
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
    stages = await queries.stages(ctx.db, payload.tenant_id) or DEFAULTS
    reason = obstacle(case, stages, step=payload.step, today=today)
    if reason is not None:
        raise Cancel(reason)
    stage = next(one for one in stages if one.position == payload.step)
    return await send(ctx, _reminder(payload, case, stage, profile, today), profile)


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
