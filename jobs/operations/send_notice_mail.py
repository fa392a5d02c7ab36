"""Mail admins what is wrong, or is over."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from jobs.kit import DeliveryReceipt, Exponential, JobContext, Payload, Retry, job
from jobs.messaging.catalogue import declare
from jobs.messaging.house import write_house_mail
from jobs.messaging.limits import MAIL_LIMITS
from jobs.messaging.reading import Reader
from jobs.operations import core

_TEMPLATE = "admin_notice"
SAMPLED_AT = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)


class NoticeMail(Payload):
    """Troubles that were found together; `more` are those that are too many for one mail."""

    to: str
    language: Literal["en", "tr"]
    timezone: str
    service: str
    environment: str
    troubles: tuple[core.Trouble, ...] = Field(min_length=1, max_length=20)
    more: int = 0


# Half a day long: also of a mail server's trouble, when that is over.
@job(
    "operations.send_notice_mail",
    queue="default",
    priority=9,
    retry=Retry(attempts=10, backoff=Exponential(first=5, factor=5, cap=10_800)),
    timeout=300,
    rate_limits=MAIL_LIMITS[:1],
    sensitive=("to",),
)
async def send_notice_mail(ctx: JobContext, payload: NoticeMail) -> DeliveryReceipt:
    """One mail to one admin, once, however often it is tried."""
    values = core.mail_values(
        payload.troubles,
        more=payload.more,
        service=payload.service,
        environment=payload.environment,
        base=ctx.links,
    )
    reader = Reader(payload.language, payload.timezone, "email")
    mail = await write_house_mail(ctx.offload, _TEMPLATE, payload.to, reader, values)
    return await ctx.mailer.send(mail, key=payload.troubles[0].key)


def _sample(locale: str) -> dict[str, Any]:
    del locale
    return core.mail_values(
        (core.sample(SAMPLED_AT),),
        more=0,
        service="worker-service",
        environment="production",
        base="https://jobs.example.com",
    )


declare(_TEMPLATE, channels={"email"}, sample=_sample, is_tenants=False, has_way_out=False)
