"""Ask a contact for an amount that another service says is overdue."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

from clients.errors import RequestRejectedError
from jobs.dunning import queries
from jobs.dunning.core.cases import Contact
from jobs.dunning.core.links import LinkRefusedError, checked_link, payment_link
from jobs.dunning.core.money import Owed, currency_of, is_known, plain_amount, rounded
from jobs.dunning.core.stages import DEFAULTS, nearest
from jobs.dunning.core.words import reminder_values
from jobs.dunning.sending import Reminder, send, tenant_zone
from jobs.dunning.turns.queries import channels_of_turn, record_channel
from jobs.kit import Cancel, JobContext, LegacyPayload, job
from jobs.kit.sending import Recording
from jobs.messaging.core.channels import Channel, results_of
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY, SMS_LIMITS
from jobs.messaging.outcomes import queries as deliveries
from jobs.messaging.profile import profile_of

if TYPE_CHECKING:
    from jobs.kit.sending import Connection

_MOST_DAYS = 36_500


def _known(currency: str) -> str:
    if not is_known(currency):
        raise ValueError("it is a currency of ISO 4217, as TRY")
    return currency


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


class PaymentRequest(LegacyPayload):
    """What the CRM sends as `process-dunning`: orgId, contactId, amount, daysOverdue, paymentLink.

    `amount` is a number or a text, "1250.50". Without `currency` it is in the tenant's:
    messaging_profiles.currency, else that of messaging_profiles.country.
    """

    contact_id: UUID
    amount: Annotated[Decimal, BeforeValidator(plain_amount)]
    currency: Annotated[str, BeforeValidator(_upper), AfterValidator(_known)] | None = None
    days_overdue: int = Field(ge=1, le=_MOST_DAYS)
    payment_link: Annotated[str, AfterValidator(checked_link)]


@job(
    "dunning.send_payment_request",
    queue="dunning",
    aliases=("process-dunning",),
    timeout=120,
    retry=SENDING_RETRY,
    rate_limits=(*MAIL_LIMITS, *SMS_LIMITS),
    # While it has a result it is this run; what a pause cancelled may be asked for anew soon.
    result_ttl=60,
    idempotency_key="{contact_id}:{days_overdue}",
    sensitive=("amount", "payment_link"),
    exposed=True,
)
async def send_payment_request(ctx: JobContext, payload: PaymentRequest) -> dict[str, Any]:
    """One a day and contact, reminders of invoices included, in the tone of the tenant's stages.

    The amount is asked for as it was given, without fees. Whether it was paid meanwhile can be
    known of contacts whose invoices are here. Returns what became of it by channel.
    """
    tenant_id = payload.tenant_id
    profile = await profile_of(ctx.db, tenant_id)
    zone = tenant_zone(profile)
    today = ctx.now().astimezone(zone).date()
    contact = await _find(ctx, payload, today)
    currency = payload.currency or await _currency_of(ctx, tenant_id)
    amount = rounded(payload.amount, currency)
    if amount <= 0:
        raise RequestRejectedError("amount: is less than the smallest coin of its currency")
    try:
        link = payment_link(payload.payment_link, profile.payment_hosts)
    except LinkRefusedError as error:
        raise RequestRejectedError(f"payment_link: {error}") from None
    stages = await queries.stages(ctx.db, tenant_id) or DEFAULTS
    stage = nearest(stages, payload.days_overdue)
    values = reminder_values(
        Owed(open_amount=amount, fees=Decimal(0), currency=currency),
        tone=stage.tone,
        days_overdue=payload.days_overdue,
        payment_link=link,
    )
    reminder = Reminder(
        tenant_id=tenant_id,
        contact_id=payload.contact_id,
        contact=contact,
        stage=stage,
        values=values,
        key=await _key(ctx, payload, today),
        day=today,
        check=partial(_find, ctx, payload, today),
    )
    sent = await send(ctx, await _with_memory(ctx, reminder), profile)
    return {"results": results_of(sent)}


async def _find(ctx: JobContext, payload: PaymentRequest, today: date) -> Contact:
    """Looked for at first, and again before each message leaves. Raises Cancel."""
    ids = (payload.tenant_id, payload.contact_id)
    contact = await queries.find_contact(ctx.db, *ids, today=today)
    if contact is None:
        raise Cancel("there is no such contact any more")
    if contact.hold is not None:
        raise Cancel(f"dunning is {contact.hold} for this contact")
    standing = await queries.standing_of(ctx.db, *ids)
    if standing.invoices and not standing.open_invoices:
        raise Cancel("no invoice of this contact is open")
    return contact


async def _key(ctx: JobContext, payload: PaymentRequest, today: date) -> str:
    """Tried again after midnight it is the same message; one that was put off is its own day's."""
    prefix = f"dunning:{payload.contact_id}:"
    own = await deliveries.key_of_run(ctx.db, payload.tenant_id, ctx.run, prefix=prefix)
    return own or f"{prefix}{today.isoformat()}"


async def _with_memory(ctx: JobContext, reminder: Reminder) -> Reminder:
    """There is no invoice to note on that it left, so that is noted with the day."""
    ids = (reminder.tenant_id, reminder.contact_id)
    day, key = reminder.day, reminder.key

    def recording(channel: Channel) -> Recording:
        async def record(connection: "Connection") -> None:
            await record_channel(connection, *ids, day=day, key=key, channel=channel)

        return record

    done = await channels_of_turn(ctx.db, *ids, day=day, key=key)
    return replace(reminder, done=done, recording=recording)


async def _currency_of(ctx: JobContext, tenant_id: UUID) -> str:
    """What the tenant itself has said, and no guess: 100 is not the same in every currency."""
    currency, country = await queries.currency_and_country(ctx.db, tenant_id)
    if currency is not None and not is_known(currency):
        raise RequestRejectedError("messaging_profiles.currency: is not one of ISO 4217")
    found = currency or (None if country is None else currency_of(country))
    if found is None:
        raise RequestRejectedError(
            "currency: is not in the payload, and messaging_profiles has none for this tenant; "
            "say one of them"
        )
    return found
