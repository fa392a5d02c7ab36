"""Have contacts wait where they are in a sequence, or in all of theirs."""

from jobs.kit import JobContext, job
from jobs.nurture import queries
from jobs.nurture.acting import ORDER, SomeContacts, names_a_sequence, pages, sequence_of


@job(
    "nurture.pause_sequence",
    queue="nurture",
    aliases=("nurture-pause",),
    timeout=600,
    partition_key=ORDER,
    exposed=True,
    admits=names_a_sequence,
)
async def pause_sequence(ctx: JobContext, payload: SomeContacts) -> dict[str, int]:
    """Nothing is sent until they go on, and the time does not count. Returns how many pause now."""
    sequence_id = await sequence_of(ctx, payload)
    paused = 0
    for page in pages(payload.contact_ids):
        async with ctx.transaction() as connection:
            found = await queries.lock_of_contacts(
                connection, payload.tenant_id, page, sequence_id=sequence_id, states=["active"]
            )
            ids = [enrolment.enrolment_id for enrolment in found]
            await queries.pause(connection, payload.tenant_id, ids, ctx.now())
        paused += len(ids)
    ctx.log.info("Sequences pause", enrolments=paused)
    return {"paused": paused}
