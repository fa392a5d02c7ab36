"""The statements of the audit log."""

from datetime import datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import orjson

from worker.audit.entries import Entry, Outcome, Written
from worker.clock import utc_now

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_PAGE = 2000  # entries that a statement deletes, at most


async def add(
    db: "Db | Connection", entry: Entry, outcome: Outcome, *, error: str | None = None
) -> int:
    """Write an entry; returns its id."""
    audit_id: int = await db.fetchval(
        """
        insert into audit_log (principal, role, credential, tenant_id, action, outcome, targets,
                               filter, reason, ip, user_agent, request_id, error)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning audit_id
        """,
        entry.principal,
        entry.role,
        entry.credential,
        entry.tenant_id,
        entry.action,
        outcome,
        list(entry.targets),
        None if entry.filter is None else orjson.dumps(entry.filter).decode(),
        entry.reason,
        entry.ip,
        entry.user_agent,
        entry.request_id,
        error,
    )
    return audit_id


async def end(
    db: "Db | Connection",
    audit_id: int,
    outcome: Outcome,
    *,
    affected: int | None = None,
    error: str | None = None,
) -> None:
    """Say how what was begun has ended."""
    await db.execute(
        """
        update audit_log set outcome = $2, affected = $3, error = $4
         where audit_id = $1 and outcome = 'begun'
        """,
        audit_id,
        outcome,
        affected,
        error,
    )


async def page(
    db: Db,
    *,
    before: int | None = None,
    limit: int = 50,
    action: str | None = None,
    principal: str | None = None,
    outcome: Outcome | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Written]:
    """Entries to which all that is not None applies, newest first, before that id."""
    given = {
        "audit_id < {}": before,
        "action = {}": action,
        "principal = {}": principal,
        "outcome = {}": outcome,
        "at >= {}": since,
        "at < {}": until,
    }
    values = [value for value in given.values() if value is not None]
    conditions = [text for text, value in given.items() if value is not None]
    where = " and ".join(text.format(f"${n}") for n, text in enumerate(conditions, 1)) or "true"
    rows = await db.fetch(
        f"select * from audit_log where {where} order by audit_id desc limit ${len(values) + 1}",  # noqa: S608 - own words, and parameters
        *values,
        limit,
    )
    return [_written(row) for row in rows]


async def forget(db: Db, *, age: timedelta) -> int:
    """Delete entries that are older; returns how many."""
    before, total = utc_now() - age, 0
    while True:
        async with db.acquire() as connection, connection.transaction():
            await connection.execute(
                "select set_config('deskhand.forget_audit_before', $1, true)", before.isoformat()
            )
            deleted: int = await connection.fetchval(
                """
                with page as materialized (
                    select audit_id from audit_log where at < $1 order by audit_id limit $2
                ), gone as (
                    delete from audit_log using page
                     where audit_log.audit_id = page.audit_id returning 1
                )
                select count(*) from gone
                """,
                before,
                _PAGE,
            )
        total += deleted
        if deleted < _PAGE:
            return total


def _written(row: asyncpg.Record) -> Written:
    fields: dict[str, Any] = dict(row)
    own = {name: fields.pop(name) for name in ("audit_id", "at", "outcome", "affected", "error")}
    found = fields["filter"]
    entry = Entry(
        **{
            **fields,
            "targets": tuple(fields["targets"]),
            "filter": None if found is None else orjson.loads(found),
        }
    )
    return Written(**own, entry=entry)
