"""Stop dunning for some contacts."""

from jobs.dunning.contacts import ORDER, DunningContacts
from jobs.dunning.holds.queries import hold
from jobs.kit import JobContext, job


@job(
    "dunning.stop_dunning",
    queue="dunning",
    aliases=("dunning-stop",),
    partition_key=ORDER,
    sensitive=("reason",),
)
async def stop_dunning(ctx: JobContext, payload: DunningContacts) -> dict[str, int]:
    """For good, until somebody starts it anew. Returns how many contacts are stopped now."""
    stopped = await hold(
        ctx.db,
        payload.tenant_id,
        payload.contact_ids,
        state="stopped",
        reason=payload.reason,
        since=ctx.now(),
    )
    ctx.log.info("Dunning stopped", stopped=stopped)
    return {"stopped": stopped}
