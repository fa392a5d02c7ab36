"""Welcome a new user."""

from functools import partial
from typing import Annotated

from pydantic import AfterValidator

from jobs.email import queries
from jobs.email.payloads import UserPayload
from jobs.kit import Cancel, DeliveryReceipt, JobContext, job
from jobs.messaging.core.links import web_link
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY
from jobs.messaging.writing import write_mail


def _is_secure_link(url: str) -> str:
    link = web_link(url)
    if link is None or not link.lower().startswith("https://"):
        raise ValueError("is an absolute https link, or is left out")
    return link


class NewUser(UserPayload):
    """`sign_in_url` is the button of the mail; it may let its reader in, so it is never shown."""

    sign_in_url: Annotated[str, AfterValidator(_is_secure_link)] | None = None


@job(
    "email.send_welcome",
    queue="email",
    aliases=("welcome",),
    exposed=True,
    idempotency_key="{user_id}",
    sensitive=("sign_in_url",),
    retry=SENDING_RETRY,
    rate_limits=MAIL_LIMITS,
)
async def send_welcome(ctx: JobContext, payload: NewUser) -> DeliveryReceipt:
    """One for each user, ever: also when their address, or our memory of mails, has changed."""
    user = await queries.find_newcomer(ctx.db, payload.tenant_id, payload.user_id)
    if user is None:
        raise Cancel("there is no such user any more")
    if user.welcomed_at is not None:
        raise Cancel("this user has been welcomed")
    mail = await write_mail(ctx, "welcome", user.recipient, {"sign_in_url": payload.sign_in_url})
    welcomed = partial(
        queries.mark_welcomed, tenant_id=payload.tenant_id, user_id=payload.user_id, at=ctx.now()
    )
    return await ctx.mailer.send(mail, key=f"welcome:{payload.user_id}", recording=welcomed)
