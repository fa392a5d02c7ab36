"""Record what Twilio tells of an SMS that it took, or of one that somebody sent us."""

from dataclasses import dataclass
from typing import Literal

from clients.errors import RequestRejectedError
from jobs.kit import JobContext, WebhookDelivery, job
from jobs.messaging import replies
from jobs.messaging.core.twilio_status import RELEASED_BY_START, Inbound, read_callback
from jobs.messaging.outcomes import queries
from jobs.messaging.outcomes.recording import Recorded, record_event
from jobs.messaging.suppressions.queries import release, suppress


@dataclass(frozen=True, slots=True)
class StatusRecorded:
    """What was done. Unknown is an SMS of others; skipped is what does not concern us."""

    did: Recorded | Literal["skipped", "stopped", "started", "helped", "replied"]


@job("messaging.record_twilio_status", queue="email-processing", sensitive=("body",))
async def record_twilio_status(ctx: JobContext, payload: WebhookDelivery) -> StatusRecorded:
    """Outcomes and doubts of our SMS; STOP, START and replies to them. Each once, in any order."""
    try:
        told = read_callback(payload.body, payload.query, received_at=payload.received_at)
    except ValueError:
        raise RequestRejectedError("body: is no form, though its signature was right") from None
    if told is None:
        return StatusRecorded("skipped")
    if isinstance(told, Inbound):
        return await _take(ctx, told, payload)
    return StatusRecorded(await record_event(ctx, told, received_at=payload.received_at))


async def _take(ctx: JobContext, inbound: Inbound, payload: WebhookDelivery) -> StatusRecorded:
    at = payload.received_at
    async with ctx.transaction() as connection:
        if not await queries.remember(connection, "twilio", inbound.event_id, at):
            return StatusRecorded("repeated")
        tenants = await queries.tenants_of(connection, inbound.services, inbound.sender)
        if not tenants:
            return StatusRecorded("unknown")
        match inbound.word:
            case "stop":
                await suppress(
                    connection, tenants, "sms", inbound.sender, reason="opted out", at=at
                )
                return StatusRecorded("stopped")
            case "start":
                await release(
                    connection, tenants, "sms", inbound.sender, reasons=RELEASED_BY_START, at=at
                )
                return StatusRecorded("started")
            case "help":  # Twilio answers it
                return StatusRecorded("helped")
        number = inbound.sender
        found = await replies.on_sms(connection, tenants, number, replied_at=at)
    return StatusRecorded("replied" if found else "unknown")
