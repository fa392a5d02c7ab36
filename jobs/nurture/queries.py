"""Every statement about enrolments: who is in which sequence, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.nurture.core import EndReason, StepState

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A contact in a sequence. `turn` counts its plans: a run of another one does nothing."""

    tenant_id: UUID
    enrolment_id: UUID
    sequence_id: UUID
    contact_id: UUID
    state: str
    end_reason: str | None
    started_at: datetime
    ended_at: datetime | None
    paused_at: datetime | None
    last_step_at: datetime | None
    counts_from: datetime
    turn: int
    next_step_id: UUID | None
    next_due_at: datetime | None


_COLUMNS = """tenant_id, enrolment_id, sequence_id, contact_id, state, end_reason, started_at,
    ended_at, paused_at, last_step_at, counts_from, turn, next_step_id, next_due_at"""


async def enrol(
    connection: "Connection",
    tenant_id: UUID,
    sequence_id: UUID,
    enrolments: Sequence[tuple[UUID, UUID]],
    *,
    at: datetime,
) -> list[Enrolment]:
    """Enrol contacts, given as (enrolment_id, contact_id); returns those who were not in it, nor
    enrolled under these ids before.
    """
    rows = await connection.fetch(
        f"""
        insert into enrolments (tenant_id, enrolment_id, sequence_id, contact_id, state,
                                started_at, counts_from)
        select $1, given.enrolment_id, $2, given.contact_id, 'active', $5, $5
          from unnest($3::uuid[], $4::uuid[]) as given (enrolment_id, contact_id)
         order by given.contact_id
        on conflict do nothing
        returning {_COLUMNS}
        """,  # noqa: S608 - own words
        tenant_id,
        sequence_id,
        [enrolment_id for enrolment_id, _ in enrolments],
        [contact_id for _, contact_id in enrolments],
        at,
    )
    return [Enrolment(**row) for row in rows]


async def lock(connection: "Connection", tenant_id: UUID, enrolment_id: UUID) -> Enrolment | None:
    """Until the transaction ends."""
    row = await connection.fetchrow(
        f"select {_COLUMNS} from enrolments"  # noqa: S608 - own words
        " where tenant_id = $1 and enrolment_id = $2 for update",
        tenant_id,
        enrolment_id,
    )
    return None if row is None else Enrolment(**row)


async def lock_page(
    connection: "Connection",
    tenant_id: UUID,
    sequence_id: UUID,
    *,
    after: UUID | None,
    limit: int,
) -> list[Enrolment]:
    """The active ones of a sequence, by id, locked until the transaction ends."""
    rows = await connection.fetch(
        f"""
        select {_COLUMNS} from enrolments
         where tenant_id = $1 and sequence_id = $2 and state = 'active'
           and ($3::uuid is null or enrolment_id > $3)
         order by enrolment_id limit $4
           for update
        """,  # noqa: S608 - own words
        tenant_id,
        sequence_id,
        after,
        limit,
    )
    return [Enrolment(**row) for row in rows]


async def lock_of_contacts(
    connection: "Connection",
    tenant_id: UUID,
    contact_ids: Sequence[UUID],
    *,
    sequence_id: UUID | None,
    states: Sequence[str],
) -> list[Enrolment]:
    """Those of some contacts, in one sequence or in all, locked until the transaction ends."""
    rows = await connection.fetch(
        f"""
        select {_COLUMNS} from enrolments
         where tenant_id = $1 and contact_id = any($2) and state = any($4)
           and ($3::uuid is null or sequence_id = $3)
         order by enrolment_id
           for update
        """,  # noqa: S608 - own words
        tenant_id,
        contact_ids,
        sequence_id,
        states,
    )
    return [Enrolment(**row) for row in rows]


async def of_contact(
    db: "Pool", tenant_id: UUID, contact_id: UUID, *, limit: int
) -> list[tuple[str, str | None, Enrolment]]:
    """A contact's, the newest first, each with its sequence's name and its next step's channel."""
    rows = await db.fetch(
        """
        select sequences.name as sequence,
               (select channel from sequence_steps as step
                 where (step.tenant_id, step.sequence_id, step.step_id)
                       = (enrolments.tenant_id, enrolments.sequence_id, next_step_id)) as channel,
               tenant_id, enrolment_id, sequence_id, contact_id, state, end_reason,
               started_at, ended_at, paused_at, last_step_at, counts_from, turn,
               next_step_id, next_due_at
          from enrolments join sequences using (tenant_id, sequence_id)
         where tenant_id = $1 and contact_id = $2
         order by started_at desc, enrolment_id limit $3
        """,
        tenant_id,
        contact_id,
        limit,
    )
    return [
        (row["sequence"], row["channel"], Enrolment(**dict(list(row.items())[2:]))) for row in rows
    ]


async def done_steps(
    connection: "Connection", tenant_id: UUID, enrolment_ids: Sequence[UUID]
) -> dict[UUID, set[UUID]]:
    """Which steps each of them has had, sent or not."""
    rows = await connection.fetch(
        """
        select enrolment_id, step_id from enrolment_steps join enrolments using (enrolment_id)
         where tenant_id = $1 and enrolment_id = any($2)
        """,
        tenant_id,
        enrolment_ids,
    )
    done: dict[UUID, set[UUID]] = {enrolment_id: set() for enrolment_id in enrolment_ids}
    for row in rows:
        done[row["enrolment_id"]].add(row["step_id"])
    return done


async def add_step(
    connection: "Connection",
    tenant_id: UUID,
    enrolment_id: UUID,
    step_id: UUID,
    state: StepState,
    at: datetime,
) -> bool:
    """Remember that a step is done; False when that was known."""
    added = await connection.fetchval(
        """
        insert into enrolment_steps (enrolment_id, step_id, state, at)
        select enrolment_id, $3, $4, $5 from enrolments
         where tenant_id = $1 and enrolment_id = $2
        on conflict do nothing
        returning true
        """,
        tenant_id,
        enrolment_id,
        step_id,
        state,
        at,
    )
    return bool(added)


async def count_from(
    connection: "Connection",
    tenant_id: UUID,
    enrolment_id: UUID,
    counts_from: datetime,
    *,
    is_step: bool,
) -> None:
    """From when the next step's delay counts; with `is_step` because a step was done then."""
    await connection.execute(
        """
        update enrolments
           set counts_from = $3, last_step_at = case when $4 then $3 else last_step_at end
         where tenant_id = $1 and enrolment_id = $2
        """,
        tenant_id,
        enrolment_id,
        counts_from,
        is_step,
    )


async def plan(
    connection: "Connection",
    tenant_id: UUID,
    enrolment_id: UUID,
    *,
    step_id: UUID | None,
    due_at: datetime | None,
) -> int:
    """What is next, nothing or a step; returns the turn that its run has."""
    turn: int = await connection.fetchval(
        """
        update enrolments
           set state = 'active', paused_at = null, turn = turn + 1,
               next_step_id = $3, next_due_at = $4
         where tenant_id = $1 and enrolment_id = $2
        returning turn
        """,
        tenant_id,
        enrolment_id,
        step_id,
        due_at,
    )
    return turn


async def pause(
    connection: "Connection", tenant_id: UUID, enrolment_ids: Sequence[UUID], at: datetime
) -> None:
    await connection.execute(
        """
        update enrolments set state = 'paused', paused_at = $3, turn = turn + 1, next_due_at = null
         where tenant_id = $1 and enrolment_id = any($2)
        """,
        tenant_id,
        enrolment_ids,
        at,
    )


async def finish(
    connection: "Connection",
    tenant_id: UUID,
    enrolment_ids: Sequence[UUID],
    reason: EndReason | None,
    at: datetime,
) -> None:
    """End them for a reason; without one all their steps are done."""
    await connection.execute(
        """
        update enrolments
           set state = case when $3::text is null then 'completed' else 'ended' end,
               end_reason = $3, ended_at = $4, paused_at = null, turn = turn + 1,
               next_step_id = null, next_due_at = null
         where tenant_id = $1 and enrolment_id = any($2) and state in ('active', 'paused')
        """,
        tenant_id,
        enrolment_ids,
        reason,
        at,
    )
