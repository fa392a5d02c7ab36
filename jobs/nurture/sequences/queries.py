"""Every statement about sequences and their steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from jobs.nurture.core import Step

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A sequence without its steps; `values` are what its templates say."""

    tenant_id: UUID
    sequence_id: UUID
    name: str
    is_active: bool
    exit_on: tuple[str, ...]
    values: Mapping[str, str]
    version: int
    created_at: datetime
    updated_at: datetime


_LOCK = """
    select pg_advisory_xact_lock(hashtext('nurture sequences'), hashtext($1))
"""
_SELECT = """
    select tenant_id, sequence_id, name, is_active, exit_on, template_values, version, created_at,
           updated_at
      from sequences
"""


async def find_id(db: "Pool | Connection", tenant_id: UUID, named: str) -> UUID | None:
    """The sequence of this name, or of this id."""
    found: UUID | None = await db.fetchval(
        """
        select sequence_id from sequences
         where tenant_id = $1 and (name = $2 or sequence_id::text = lower($2))
         order by name = $2 desc limit 1
        """,
        tenant_id,
        named,
    )
    return found


async def find(db: "Pool | Connection", tenant_id: UUID | None, sequence_id: UUID) -> Row | None:
    """Of this tenant, or of any."""
    row = await db.fetchrow(
        f"{_SELECT} where sequence_id = $2 and ($1::uuid is null or tenant_id = $1)",
        tenant_id,
        sequence_id,
    )
    return None if row is None else _row(row)


async def lock(connection: "Connection", tenant_id: UUID | None, sequence_id: UUID) -> None:
    """Until the transaction ends, nobody else changes it."""
    await connection.fetchval(
        """
        select 1 from sequences
         where sequence_id = $2 and ($1::uuid is null or tenant_id = $1) for update
        """,
        tenant_id,
        sequence_id,
    )


async def page(db: "Pool", tenant_id: UUID | None, *, after: UUID | None, limit: int) -> list[Row]:
    """By id."""
    rows = await db.fetch(
        f"""
        {_SELECT}
         where ($1::uuid is null or tenant_id = $1) and ($2::uuid is null or sequence_id > $2)
         order by sequence_id limit $3
        """,
        tenant_id,
        after,
        limit,
    )
    return [_row(row) for row in rows]


async def count_in_flight(db: "Pool | Connection", sequence_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many contacts are in each of them, at work or paused."""
    rows = await db.fetch(
        """
        select sequences.sequence_id, count(enrolment_id) as contacts
          from sequences
          left join enrolments
            on enrolments.tenant_id = sequences.tenant_id
           and enrolments.sequence_id = sequences.sequence_id and state in ('active', 'paused')
         where sequences.sequence_id = any($1)
         group by sequences.sequence_id
        """,
        sequence_ids,
    )
    return {row["sequence_id"]: row["contacts"] for row in rows}


async def lock_tenant(connection: "Connection", tenant_id: UUID) -> tuple[bool, int]:
    """Is there such a tenant, and how many sequences has it? Nobody else adds one meanwhile."""
    await connection.execute(_LOCK, str(tenant_id))
    row = await connection.fetchrow(
        """
        select exists (select from tenants where tenant_id = $1),
               (select count(*) from sequences where tenant_id = $1)
        """,
        tenant_id,
    )
    assert row is not None  # noqa: S101 - a select without a table has one row
    is_there, number = row.values()
    return is_there, number


async def is_taken(
    connection: "Connection", tenant_id: UUID, name: str, *, sequence_id: UUID
) -> bool:
    """Has another sequence of the tenant this name?"""
    await connection.execute(_LOCK, str(tenant_id))
    taken: bool = await connection.fetchval(
        """
        select exists (select from sequences
                        where tenant_id = $1 and name = $2 and sequence_id <> $3)
        """,
        tenant_id,
        name,
        sequence_id,
    )
    return taken


async def insert(
    connection: "Connection",
    tenant_id: UUID,
    sequence_id: UUID,
    *,
    name: str,
    exit_on: Sequence[str],
    values: Mapping[str, str],
) -> None:
    await connection.execute(
        """
        insert into sequences (tenant_id, sequence_id, name, exit_on, template_values)
        values ($1, $2, $3, $4, $5::text::jsonb)
        """,
        tenant_id,
        sequence_id,
        name,
        list(exit_on),
        orjson.dumps(values).decode(),
    )


async def update(
    connection: "Connection",
    tenant_id: UUID,
    sequence_id: UUID,
    *,
    name: str,
    is_active: bool,
    exit_on: Sequence[str],
    values: Mapping[str, str],
) -> None:
    """Change it; its version counts on."""
    await connection.execute(
        """
        update sequences
           set name = $3, is_active = $4, exit_on = $5, template_values = $6::text::jsonb,
               version = version + 1, updated_at = now()
         where tenant_id = $1 and sequence_id = $2
        """,
        tenant_id,
        sequence_id,
        name,
        is_active,
        list(exit_on),
        orjson.dumps(values).decode(),
    )


async def steps_of(db: "Pool | Connection", sequence_ids: Sequence[UUID]) -> dict[UUID, list[Step]]:
    """Of each sequence, in their order; those that were taken out are left out."""
    rows = await db.fetch(
        """
        select sequence_id, step_id, delay_seconds, channel, template, personalise
          from sequence_steps
         where sequence_id = any($1) and position is not null
         order by sequence_id, position
        """,
        sequence_ids,
    )
    steps: dict[UUID, list[Step]] = {sequence_id: [] for sequence_id in sequence_ids}
    for row in rows:
        steps[row["sequence_id"]].append(_step(row))
    return steps


async def known_steps(connection: "Connection", tenant_id: UUID, sequence_id: UUID) -> set[UUID]:
    """All it ever had."""
    rows = await connection.fetch(
        "select step_id from sequence_steps where tenant_id = $1 and sequence_id = $2",
        tenant_id,
        sequence_id,
    )
    return {row["step_id"] for row in rows}


async def put_steps(
    connection: "Connection", tenant_id: UUID, sequence_id: UUID, steps: Sequence[Step]
) -> None:
    """These, in this order, and no others. Those that are left out are remembered."""
    await connection.execute(
        "update sequence_steps set position = null where tenant_id = $1 and sequence_id = $2",
        tenant_id,
        sequence_id,
    )
    await connection.executemany(
        """
        insert into sequence_steps (tenant_id, sequence_id, step_id, position, delay_seconds,
                                    channel, template, personalise)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (tenant_id, sequence_id, step_id) do update
           set position = excluded.position, delay_seconds = excluded.delay_seconds,
               channel = excluded.channel, template = excluded.template,
               personalise = excluded.personalise
        """,
        [
            (
                tenant_id,
                sequence_id,
                step.step_id,
                position,
                int(step.delay.total_seconds()),
                step.channel,
                step.template,
                step.personalise,
            )
            for position, step in enumerate(steps)
        ],
    )


async def own_channels(
    db: "Pool | Connection", tenant_id: UUID, template: str, language: str | None = None
) -> set[str]:
    """For which channels the tenant has words of its own, in this language or in any."""
    rows = await db.fetch(
        """
        select distinct channel from message_templates
         where tenant_id = $1 and name = $2 and is_active
           and ($3::text is null or language = $3)
        """,
        tenant_id,
        template,
        language,
    )
    return {row["channel"] for row in rows}


def _row(row: "asyncpg.Record") -> Row:
    fields = dict(row)
    fields["exit_on"] = tuple(fields["exit_on"])
    return Row(values=orjson.loads(fields.pop("template_values")), **fields)


def _step(row: "asyncpg.Record") -> Step:
    return Step(
        step_id=row["step_id"],
        delay=timedelta(seconds=row["delay_seconds"]),
        channel=row["channel"],
        template=row["template"],
        personalise=row["personalise"],
    )
