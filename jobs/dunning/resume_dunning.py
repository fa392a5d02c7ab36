"""Resume dunning for some contacts."""

from jobs.dunning.contacts import ORDER, DunningContacts
from jobs.dunning.holds.queries import lift
from jobs.kit import JobContext, job


@job(
    "dunning.resume_dunning",
    queue="dunning",
    aliases=("dunning-resume",),
    partition_key=ORDER,
    sensitive=("reason",),
)
async def resume_dunning(ctx: JobContext, payload: DunningContacts) -> dict[str, int]:
    """Ends a pause: the next daily search finds them again. Returns how many pauses ended.

    Who was stopped is started instead.
    """
    resumed = await lift(ctx.db, payload.tenant_id, payload.contact_ids, state="paused")
    ctx.log.info("Dunning resumed", resumed=resumed)
    return {"resumed": resumed}
