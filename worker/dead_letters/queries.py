"""The statements that find dead letters, and change nothing."""

from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson

from worker.dead_letters.letters import (
    Attempt,
    Cursor,
    DeadLetter,
    Filter,
    Group,
    GroupCursor,
)
from worker.dead_letters.where import Where

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# The newest letters that are looked at to tell the groups of a filter that no count is kept for.
SAMPLE = 5000
COLUMNS = ", ".join([*DeadLetter.__slots__, "raw"])


async def page(db: Db, which: Filter, *, before: Cursor | None, limit: int) -> list[DeadLetter]:
    where = Where(which)
    if before is not None:
        where.add("(died_at, dead_letter_id) < ({}, {})", *before)
    rows = await db.fetch(
        f"""
        select {COLUMNS} from dead_letters where {where}
         order by died_at desc, dead_letter_id desc limit {where.parameter(limit)}
        """,  # noqa: S608 - own words, and parameters
        *where.parameters,
    )
    return [dead_letter_of(row) for row in rows]


async def counted_groups(
    db: Db, which: Filter, *, before: GroupCursor | None, limit: int
) -> list[Group]:
    """Exact, for a filter that names no tenant, text or time."""
    counted = Where(which, is_counted=True)
    having = ""
    if before is not None:
        number, group = (counted.parameter(value) for value in before)
        having = f"having (sum(letters)::bigint, error_group) < ({number}, {group})"
    # Of one group all have one job and error: only these two may leave some of its letters out.
    conditions = [f"known.status = '{which.status}'"]
    conditions += [
        f"known.{column} = {counted.parameter(value)}"
        for column, value in (("queue", which.queue), ("reason", which.reason))
        if value is not None
    ]
    letters = f"""
        select died_at, dead_letter_id from dead_letters as known
         where known.error_group = groups.error_group and {" and ".join(conditions)}
    """  # noqa: S608 - own words, and parameters
    rows = await db.fetch(
        f"""
        select groups.*, first.died_at as first_at, last.died_at as last_at,
               last.dead_letter_id as example_id
          from (select error_group, min(job) as job, min(error_type) as error_type,
                       min(template) as template, sum(letters)::bigint as letters
                  from dead_letter_groups where {counted} group by error_group {having}
                 order by sum(letters) desc, error_group desc
                 limit {counted.parameter(limit)}) as groups,
               lateral ({letters} order by died_at, dead_letter_id limit 1) as first,
               lateral ({letters} order by died_at desc, dead_letter_id desc limit 1) as last
         order by groups.letters desc, groups.error_group desc
        """,  # noqa: S608 - own words, and parameters
        *counted.parameters,
    )
    return [Group(**row) for row in rows]


async def sampled_groups(
    db: Db, which: Filter, *, before: GroupCursor | None, limit: int
) -> tuple[list[Group], bool]:
    """For any filter, of its newest SAMPLE letters; says also whether there are more of them."""
    where = Where(which)
    newest = f"""
        select error_group, job, error_type, error_message, died_at, dead_letter_id
          from dead_letters where {where} and error_group is not null
         order by died_at desc, dead_letter_id desc limit {SAMPLE}
    """  # noqa: S608 - own words, and parameters
    having = ""
    if before is not None:
        number, group = (where.parameter(value) for value in before)
        having = f"where (letters, error_group) < ({number}, {group})"
    rows = await db.fetch(
        f"""
        with newest as materialized ({newest}),
        groups as (
            select error_group, min(job) as job, min(error_type) as error_type,
                   dead_letter_template(min(error_message)) as template, count(*) as letters,
                   min(died_at) as first_at, max(died_at) as last_at,
                   (array_agg(dead_letter_id order by died_at desc, dead_letter_id desc))[1]
                       as example_id
              from newest group by error_group
        )
        select groups.*, (select count(*) from newest) as looked_at from groups {having}
         order by letters desc, error_group desc limit {where.parameter(limit)}
        """,  # noqa: S608 - own words, and parameters
        *where.parameters,
    )
    is_partial = bool(rows) and rows[0]["looked_at"] >= SAMPLE
    return [Group(**{k: v for k, v in row.items() if k != "looked_at"}) for row in rows], is_partial


async def counted_letters(db: Db, which: Filter) -> int:
    """How many the counts say there are; for the filters that they know."""
    counted = Where(which, is_counted=True)
    number = await db.fetchval(
        f"select coalesce(sum(letters), 0) from dead_letter_groups where {counted}",  # noqa: S608 - own words, and parameters
        *counted.parameters,
    )
    return int(number)


async def get(db: "Db | Connection", dead_letter_id: int) -> DeadLetter | None:
    row = await db.fetchrow(
        f"select {COLUMNS} from dead_letters where dead_letter_id = $1",  # noqa: S608 - own columns
        dead_letter_id,
    )
    return None if row is None else dead_letter_of(row)


async def count(db: Db, which: Filter) -> int:
    where = Where(which)
    number = await db.fetchval(
        f"select count(*) from dead_letters where {where}",  # noqa: S608 - own words, parameters
        *where.parameters,
    )
    return int(number)


async def count_waiting(db: Db) -> dict[str, int]:
    """How many wait for somebody, by queue; queues without any are left out."""
    rows = await db.fetch(
        """
        select queue, sum(letters)::bigint as waiting
          from (select queue, letters from dead_letter_groups where status = 'dead'
                 union all
                select queue, count(*) from dead_letters
                 where error_group is null and status = 'dead' group by queue) as counts
         group by queue
        """
    )
    return {row["queue"]: row["waiting"] for row in rows}


async def ids_of_tenant(db: Db, tenant_id: UUID, dead_letter_ids: Sequence[int]) -> list[int]:
    """Those of these letters that are this tenant's, in the same order."""
    rows = await db.fetch(
        "select dead_letter_id from dead_letters where tenant_id = $1 and dead_letter_id = any($2)",
        tenant_id,
        dead_letter_ids,
    )
    own = {row["dead_letter_id"] for row in rows}
    return [one for one in dead_letter_ids if one in own]


async def attempts_of(db: Db, run_id: str) -> list[Attempt]:
    """What happened to a run, oldest first."""
    rows = await db.fetch(
        """
        select attempt, outcome, started_at, ended_at, worker, error_type, error_message, traceback,
               log
          from job_attempts where run_id = $1 order by started_at, event_id limit 1000
        """,
        run_id,
    )
    return [Attempt(**row) for row in rows]


def dead_letter_of(row: asyncpg.Record) -> DeadLetter:
    fields = dict(row)
    raw = fields.pop("raw")
    payload = _object(fields["payload"] if fields["payload"] is not None else raw)
    return DeadLetter(**{**fields, "payload": payload, "headers": _object(fields["headers"])})


def _object(text: str | bytes | None) -> dict[str, Any] | None:
    """The payload; in `raw` lies also what PostgreSQL's jsonb cannot hold, and what is none."""
    try:
        value = None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
