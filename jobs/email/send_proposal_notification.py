"""Tell a member of a proposal's team how its status has changed."""

from typing import Self
from uuid import UUID

from pydantic import model_validator

from jobs.email import queries
from jobs.email.core import proposals
from jobs.email.payloads import UserPayload
from jobs.kit import Cancel, DeliveryReceipt, JobContext, job
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY
from jobs.messaging.writing import write_mail, zone_of


class ProposalNotification(UserPayload):
    """Which change; the older services name the proposal, and mean its newest one."""

    change_id: UUID | None = None
    proposal_id: UUID | None = None

    @model_validator(mode="after")
    def _names_a_change(self) -> Self:
        if (self.change_id is None) == (self.proposal_id is None):
            raise ValueError("give either change_id, or proposal_id for its newest change")
        return self


@job(
    "email.send_proposal_notification",
    queue="email",
    aliases=("proposal-notification",),
    exposed=True,
    retry=SENDING_RETRY,
    rate_limits=MAIL_LIMITS,
)
async def send_proposal_notification(
    ctx: JobContext, payload: ProposalNotification
) -> DeliveryReceipt:
    """One mail for each change and member; none for who made it, or has left the team."""
    recipient = await queries.find_recipient(ctx.db, payload.tenant_id, payload.user_id)
    if recipient is None:
        raise Cancel("there is no such user any more")
    change = await queries.find_change(
        ctx.db,
        payload.tenant_id,
        change_id=payload.change_id,
        proposal_id=payload.proposal_id,
    )
    if change is None:
        raise Cancel("there is no such change any more")
    if not await queries.is_to_be_told(
        ctx.db, payload.tenant_id, change.change_id, payload.user_id
    ):
        raise Cancel("this user is not on the team, or made the change")
    values = proposals.notification_values(change, zone=zone_of(recipient), locale=recipient.locale)
    mail = await write_mail(ctx, "proposal_notification", recipient, values)
    key = proposals.notification_key(change.change_id, payload.user_id)
    return await ctx.mailer.send(mail, key=key)
