"""Have contacts begin a sequence."""

from collections.abc import Sequence
from uuid import UUID, uuid5

from pydantic import Field

from jobs.kit import Cancel, JobContext, job
from jobs.messaging.profile import Profile, profile_of
from jobs.nurture import queries
from jobs.nurture.acting import ORDER, SomeContacts, names_a_sequence, pages, sequence_of
from jobs.nurture.contacts.contact import load_contacts
from jobs.nurture.planning import plan
from jobs.nurture.sequences.line import get_line


class StartedContacts(SomeContacts):
    sequence: str = Field(min_length=1, max_length=200)


@job(
    "nurture.start_sequence",
    queue="nurture",
    aliases=("nurture-start",),
    timeout=600,
    partition_key=ORDER,
    exposed=True,
    admits=names_a_sequence,
)
async def start_sequence(ctx: JobContext, payload: StartedContacts) -> dict[str, int]:
    """Who is in it already stays where they are; who cannot be written to is left out.

    Returns how many began, how many were in it, and how many were left out. Run again, it begins
    with nobody for a second time.
    """
    sequence_id = await sequence_of(ctx, payload)
    assert sequence_id is not None  # noqa: S101 - this payload names one
    profile = await profile_of(ctx.db, payload.tenant_id)
    started = left_out = 0
    total = len(set(payload.contact_ids))
    for page in pages(payload.contact_ids):
        begun, refused = await _start(ctx, profile, sequence_id, page)
        started, left_out = started + begun, left_out + refused
        ctx.progress((started + left_out) / total)
    counts = {"started": started, "in_it": total - started - left_out, "left_out": left_out}
    ctx.log.info("A sequence is started", sequence_id=str(sequence_id), **counts)
    return counts


async def _start(
    ctx: JobContext, profile: Profile, sequence_id: UUID, contact_ids: Sequence[UUID]
) -> tuple[int, int]:
    """How many began, and how many may not be written to."""
    async with ctx.transaction() as connection:
        line = await get_line(connection, profile.tenant_id, sequence_id)
        if line is None or not line.is_active:
            raise Cancel("the sequence is not active")
        contacts = await load_contacts(connection, profile, contact_ids)
        chosen = [contact.contact_id for contact in contacts if contact.standing.usable]
        enrolled = await queries.enrol(
            connection,
            profile.tenant_id,
            sequence_id,
            # The same ones when this is run again.
            [(uuid5(sequence_id, f"{ctx.run.key}:{one}"), one) for one in chosen],
            at=ctx.now(),
        )
        for enrolment in enrolled:
            await plan(ctx, connection, enrolment, line, ())
    return len(enrolled), len(contact_ids) - len(chosen)
