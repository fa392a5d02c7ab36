"""Take contacts out of a sequence, or out of all of theirs."""

from jobs.kit import JobContext, job
from jobs.nurture import queries
from jobs.nurture.acting import ORDER, SomeContacts, names_a_sequence, pages, sequence_of


@job(
    "nurture.stop_sequence",
    queue="nurture",
    aliases=("nurture-stop",),
    timeout=600,
    partition_key=ORDER,
    exposed=True,
    admits=names_a_sequence,
)
async def stop_sequence(ctx: JobContext, payload: SomeContacts) -> dict[str, int]:
    """For good: whoever is to go on later is paused instead. Returns how many are out now."""
    sequence_id = await sequence_of(ctx, payload)
    stopped = 0
    for page in pages(payload.contact_ids):
        async with ctx.transaction() as connection:
            found = await queries.lock_of_contacts(
                connection,
                payload.tenant_id,
                page,
                sequence_id=sequence_id,
                states=["active", "paused"],
            )
            ids = [enrolment.enrolment_id for enrolment in found]
            await queries.finish(connection, payload.tenant_id, ids, "stopped", ctx.now())
        stopped += len(ids)
    ctx.log.info("Sequences are stopped", enrolments=stopped)
    return {"stopped": stopped}
