"""Tell a proposal's team that its status has changed."""

from uuid import UUID

from jobs.email import queries
from jobs.email.send_proposal_notification import (
    ProposalNotification,
    send_proposal_notification,
)
from jobs.kit import Cancel, JobContext, LegacyPayload, job

_PAGE = 200


class ProposalChanged(LegacyPayload):
    """A row of `proposal_changes`."""

    change_id: UUID


@job(
    "email.notify_proposal_change",
    queue="email-processing",
    exposed=True,
    idempotency_key="{change_id}",
)
async def notify_proposal_change(ctx: JobContext, payload: ProposalChanged) -> dict[str, int]:
    """A mail for each of the team but who made the change. Returns how many were enqueued.

    Each change has its own mails, also when the next follows at once: what is told of a status may
    be what somebody has to prove later. Each mail says where the proposal has gone since.
    """
    change = await queries.find_change(
        ctx.db, payload.tenant_id, change_id=payload.change_id, proposal_id=None
    )
    if change is None:
        raise Cancel("there is no such change any more")
    mails = 0
    async for user_ids in queries.team_to_tell(
        ctx.db, payload.tenant_id, payload.change_id, page=_PAGE
    ):
        async with ctx.transaction() as connection:
            for user_id in user_ids:
                notification = ProposalNotification(
                    tenant_id=payload.tenant_id, user_id=user_id, change_id=payload.change_id
                )
                await ctx.enqueue_in(connection, send_proposal_notification, notification)
        mails += len(user_ids)
    ctx.log.info("Team told of a change", change_id=str(payload.change_id), mails=mails)
    return {"mails": mails}
