"""Start dunning for some contacts, now."""

from jobs.dunning.contacts import ORDER, DunningContacts
from jobs.dunning.finding import enqueue_due
from jobs.dunning.holds.queries import lift
from jobs.kit import JobContext, job


@job(
    "dunning.start_dunning",
    queue="dunning",
    aliases=("dunning-start",),
    partition_key=ORDER,
    sensitive=("reason",),
)
async def start_dunning(ctx: JobContext, payload: DunningContacts) -> dict[str, int]:
    """Ends a stop, and looks at once for what these contacts are to be reminded of.

    A pause goes on: it is resumed. Returns how many stops ended, and how many reminders were
    enqueued.
    """
    started = await lift(ctx.db, payload.tenant_id, payload.contact_ids, state="stopped")
    reminders = await enqueue_due(ctx, payload.tenant_id, payload.contact_ids)
    ctx.log.info("Dunning started", started=started, reminders=reminders)
    return {"started": started, "reminders": reminders}
