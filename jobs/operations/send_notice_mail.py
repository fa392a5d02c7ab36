"""Mail admins what is wrong, or is over."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from clients.errors import RequestRejectedError
from clients.mail import Mail
from jobs.kit import DeliveryReceipt, Exponential, JobContext, Payload, Retry, job
from jobs.messaging import catalogue
from jobs.messaging.core.colours import palette
from jobs.messaging.limits import MAIL_LIMITS
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import RenderingError, render
from jobs.operations import core

_TEMPLATE = "admin_notice"
_SAMPLED_AT = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)


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
    mail = _written(payload, values)
    return await ctx.mailer.send(mail, key=payload.troubles[0].key)


def _written(payload: NoticeMail, values: dict[str, Any]) -> Mail:
    """It belongs to no tenant, so none has a say in how it looks."""
    reader = Reader(payload.language, payload.timezone, "email")
    common = {
        "name": "",
        "tenant": payload.service,
        "language": payload.language,
        "unsubscribe_url": None,
        "palette": palette(None),
        "postal_address": "",
    }
    try:
        rendered = render(_TEMPLATE, reader, {**values, **common})
    except RenderingError as error:
        raise RequestRejectedError(str(error)) from None
    return Mail(
        template=catalogue.kind_of(_TEMPLATE),
        template_version=rendered.version,
        to=payload.to,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        language=payload.language,
    )


def _sample(locale: str) -> dict[str, Any]:
    del locale
    return core.mail_values(
        (core.sample(_SAMPLED_AT),),
        more=0,
        service="worker-service",
        environment="production",
        base="https://jobs.example.com",
    )


catalogue.declare(_TEMPLATE, channels={"email"}, sample=_sample)
