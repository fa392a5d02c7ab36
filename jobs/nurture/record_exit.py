"""Note what a contact did that may end its sequences: it replied, bought, or wants no more."""

from uuid import UUID

from pydantic import AwareDatetime

from jobs.kit import JobContext, LegacyPayload, job
from jobs.nurture import queries
from jobs.nurture.core import Event, is_exit
from jobs.nurture.sequences.line import get_line


class ExitEvent(LegacyPayload):
    """`at` is when it happened; without it: now."""

    contact_id: UUID
    event: Event
    at: AwareDatetime | None = None


@job("nurture.record_exit", queue="nurture", exposed=True)
async def record_exit(ctx: JobContext, payload: ExitEvent) -> dict[str, int]:
    """End those of its sequences that this ends, and that began before it. Returns how many."""
    at = payload.at or ctx.now()
    async with ctx.transaction() as connection:
        found = await queries.lock_of_contacts(
            connection,
            payload.tenant_id,
            [payload.contact_id],
            sequence_id=None,
            states=["active", "paused"],
        )
        ended = []
        for enrolment in found:
            line = await get_line(connection, payload.tenant_id, enrolment.sequence_id)
            exit_on = () if line is None else line.exit_on
            if enrolment.started_at <= at and is_exit(payload.event, exit_on):
                ended.append(enrolment.enrolment_id)
        await queries.finish(connection, payload.tenant_id, ended, payload.event, ctx.now())
    ctx.log.info("A contact's sequences end", reason=payload.event, enrolments=len(ended))
    return {"ended": len(ended)}
