"""What people do with some contacts at once: start, pause, go on, stop."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Field

from jobs.kit import Cancel, JobContext, LegacyPayload
from jobs.nurture.sequences import queries

if TYPE_CHECKING:
    from jobs.nurture.sequences.queries import Pool

# What was asked for first is done first, also when it has to be tried again: whoever is stopped
# after they were started is out. A tenant's requests wait for each other, and for no one else's.
ORDER = "nurture:{tenant_id}"
PAGE = 100  # contacts of one transaction
_MOST = 1000


class SomeContacts(LegacyPayload):
    """`sequence` is a name or an id; without one it is about all sequences they are in. The reason
    is for the audit log.
    """

    contact_ids: list[UUID] = Field(min_length=1, max_length=_MOST)
    sequence: str | None = Field(None, min_length=1, max_length=200)
    reason: str | None = Field(None, max_length=500)


async def names_a_sequence(db: "Pool", payload: Any) -> bool:
    """Is the sequence there that it names, if any?"""
    if payload.sequence is None:
        return True
    return await queries.find_id(db, payload.tenant_id, payload.sequence) is not None


async def sequence_of(ctx: JobContext, payload: SomeContacts) -> UUID | None:
    """The sequence it names; None: all. Raises Cancel when that is gone."""
    if payload.sequence is None:
        return None
    sequence_id = await queries.find_id(ctx.db, payload.tenant_id, payload.sequence)
    if sequence_id is None:
        raise Cancel("there is no such sequence any more")
    return sequence_id


def pages(contact_ids: list[UUID]) -> list[list[UUID]]:
    """So many at a time, each once."""
    unique = sorted(set(contact_ids))
    return [unique[start : start + PAGE] for start in range(0, len(unique), PAGE)]
