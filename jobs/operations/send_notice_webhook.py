"""Post to the admins' webhook what is wrong, or is over."""

from pydantic import AwareDatetime

from clients.webhook import WebhookEvent
from jobs.kit import Cancel, DeliveryReceipt, Exponential, JobContext, Payload, Retry, job
from jobs.operations import core


class NoticeWebhook(Payload):
    """`at` is when it was found."""

    at: AwareDatetime
    service: str
    environment: str
    trouble: core.Trouble


@job(
    "operations.send_notice_webhook",
    queue="default",
    priority=9,
    retry=Retry(attempts=10, backoff=Exponential(first=5, factor=5, cap=10_800)),
    timeout=60,
)
async def send_notice_webhook(ctx: JobContext, payload: NoticeWebhook) -> DeliveryReceipt:
    """One event, with the same id and body each time it is tried; half a day long."""
    poster = ctx.poster
    if poster is None:
        raise Cancel("no webhook is set any more")
    trouble = payload.trouble
    data = core.event_data(
        trouble, service=payload.service, environment=payload.environment, base=ctx.links
    )
    event = WebhookEvent(type=f"notice.{trouble.change}", at=payload.at, data=data)
    return await poster.send(event, key=trouble.key)
