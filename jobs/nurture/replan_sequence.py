"""Plan anew, after a sequence was changed, what is next for those who are in it."""

from uuid import UUID

from jobs.kit import Cancel, JobContext, TenantPayload, job
from jobs.nurture import queries
from jobs.nurture.planning import is_planned, plan
from jobs.nurture.sequences.line import get_line

_PAGE = 200  # enrolments of one transaction


class ChangedSequence(TenantPayload):
    sequence_id: UUID


@job("nurture.replan_sequence", queue="nurture", timeout=1800)
async def replan_sequence(ctx: JobContext, payload: ChangedSequence) -> dict[str, int]:
    """Page after page, by what the sequence says then; who has the right plan keeps it.

    Done twice it changes nothing. Returns how many were looked at, and how many planned anew.
    """
    seen = planned = 0
    after: UUID | None = None
    while True:
        looked_at, changed, after = await _replan_page(ctx, payload, after)
        seen, planned = seen + looked_at, planned + changed
        if after is None:
            break
    ctx.log.info("A sequence is planned anew", enrolments=seen, planned=planned)
    return {"enrolments": seen, "planned": planned}


async def _replan_page(
    ctx: JobContext, payload: ChangedSequence, after: UUID | None
) -> tuple[int, int, UUID | None]:
    """How many there were, how many have a new plan, and the last of them if there may be more."""
    tenant_id, planned = payload.tenant_id, 0
    async with ctx.transaction() as connection:
        page = await queries.lock_page(
            connection, tenant_id, payload.sequence_id, after=after, limit=_PAGE
        )
        # Read after the rows are locked: who planned one before has read no newer steps.
        line = await get_line(connection, tenant_id, payload.sequence_id)
        if line is None:
            raise Cancel("there is no such sequence any more")
        done = await queries.done_steps(connection, tenant_id, [one.enrolment_id for one in page])
        for enrolment in page:
            had = done[enrolment.enrolment_id]
            if not is_planned(enrolment, line, had, now=ctx.now()):
                await plan(ctx, connection, enrolment, line, had)
                planned += 1
    return len(page), planned, page[-1].enrolment_id if len(page) == _PAGE else None
