"""Have contacts who pause go on in a sequence, or in all of theirs."""

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.kit import JobContext, job
from jobs.nurture import queries
from jobs.nurture.acting import ORDER, SomeContacts, names_a_sequence, pages, sequence_of
from jobs.nurture.core import counts_from_after_pause
from jobs.nurture.planning import plan
from jobs.nurture.queries import Enrolment
from jobs.nurture.sequences.line import get_line

if TYPE_CHECKING:
    from jobs.nurture.queries import Connection


@job(
    "nurture.resume_sequence",
    queue="nurture",
    aliases=("nurture-resume",),
    timeout=600,
    partition_key=ORDER,
    exposed=True,
    admits=names_a_sequence,
)
async def resume_sequence(ctx: JobContext, payload: SomeContacts) -> dict[str, int]:
    """What was left of the delay when they paused is what they wait now. Returns how many go on."""
    sequence_id = await sequence_of(ctx, payload)
    resumed = 0
    for page in pages(payload.contact_ids):
        async with ctx.transaction() as connection:
            found = await queries.lock_of_contacts(
                connection, payload.tenant_id, page, sequence_id=sequence_id, states=["paused"]
            )
            for enrolment in found:
                await _resume(ctx, connection, enrolment)
        resumed += len(found)
    ctx.log.info("Sequences go on", enrolments=resumed)
    return {"resumed": resumed}


async def _resume(ctx: JobContext, connection: "Connection", enrolment: Enrolment) -> None:
    tenant_id, enrolment_id = enrolment.tenant_id, enrolment.enrolment_id
    counts_from = counts_from_after_pause(
        enrolment.counts_from,
        paused_at=enrolment.paused_at or ctx.now(),
        resumed_at=ctx.now(),
    )
    await queries.count_from(connection, tenant_id, enrolment_id, counts_from, is_step=False)
    line = await get_line(connection, tenant_id, enrolment.sequence_id)
    done = await queries.done_steps(connection, tenant_id, [enrolment_id])
    on = replace(enrolment, counts_from=counts_from)
    await plan(ctx, connection, on, line, done[enrolment_id])
