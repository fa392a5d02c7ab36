"""A sequence as those who are in it need it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.nurture.core import Step
from jobs.nurture.sequences import queries

if TYPE_CHECKING:
    from jobs.nurture.sequences.queries import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Its steps in the order of now; `values` are what its templates say."""

    sequence_id: UUID
    is_active: bool
    exit_on: tuple[str, ...]
    values: Mapping[str, str]
    steps: tuple[Step, ...]


async def get_line(connection: "Connection", tenant_id: UUID, sequence_id: UUID) -> Line | None:
    """As it is now. Whoever sees half of a change is planned anew after it."""
    row = await queries.find(connection, tenant_id, sequence_id)
    if row is None:
        return None
    steps = await queries.steps_of(connection, [sequence_id])
    return Line(
        sequence_id=sequence_id,
        is_active=row.is_active,
        exit_on=row.exit_on,
        values=row.values,
        steps=tuple(steps[sequence_id]),
    )
