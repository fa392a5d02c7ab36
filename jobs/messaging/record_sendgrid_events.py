"""Record what SendGrid tells of the mails that it took."""

from dataclasses import dataclass

from clients.errors import RequestRejectedError
from jobs.kit import JobContext, WebhookDelivery, job
from jobs.messaging.core.sendgrid_events import read_events
from jobs.messaging.outcomes.recording import record_all, record_event


@dataclass(frozen=True, slots=True)
class EventsRecorded:
    """How many events were new, came again, are about mails of others, or not about delivery."""

    recorded: int
    repeated: int
    unknown: int
    skipped: int


@job("messaging.record_sendgrid_events", queue="email-processing", sensitive=("body",))
async def record_sendgrid_events(ctx: JobContext, payload: WebhookDelivery) -> EventsRecorded:
    """Outcomes, doubts and suppressions; in any order, and each event once."""
    try:
        reading = read_events(payload.body, received_at=payload.received_at)
    except ValueError:
        raise RequestRejectedError("body: is not JSON, though its signature was right") from None
    counts = await record_all(
        reading.events,
        lambda event: record_event(ctx, event, received_at=payload.received_at),
    )
    if reading.skipped:
        ctx.log.info("Events without a say in delivery", **reading.skipped)
    return EventsRecorded(
        recorded=counts["recorded"],
        repeated=counts["repeated"],
        unknown=counts["unknown"],
        skipped=reading.skipped.total(),
    )
