"""Pause dunning for some contacts."""

from datetime import date

from jobs.dunning.contacts import ORDER, DunningContacts
from jobs.dunning.holds.queries import hold
from jobs.kit import JobContext, job


class DunningPause(DunningContacts):
    """`until` is the first day on which it goes on by itself; None: when it is resumed."""

    until: date | None = None


@job(
    "dunning.pause_dunning",
    queue="dunning",
    aliases=("dunning-pause",),
    partition_key=ORDER,
    sensitive=("reason",),
)
async def pause_dunning(ctx: JobContext, payload: DunningPause) -> dict[str, int]:
    """Reminders that wait already are not sent either. Returns how many contacts are paused now;
    those that are stopped stay so.
    """
    paused = await hold(
        ctx.db,
        payload.tenant_id,
        payload.contact_ids,
        state="paused",
        reason=payload.reason,
        since=ctx.now(),
        until=payload.until,
    )
    ctx.log.info("Dunning paused", paused=paused)
    return {"paused": paused}
