"""The statements that find runs, and change nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import orjson

from worker.ending import State
from worker.history.runs import Cursor, Filter, PastRun, TooBroadError
from worker.history.where import AT, Search
from worker.ledger.rows import stored_id
from worker.micros import aware
from worker.records import plain

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_COLUMNS = PastRun.__slots__
_WITH_AT = ", ".join([*_COLUMNS, f"{AT} as at"])
_ORDER = "order by at desc, run_id desc"
_LONGEST_MS = 2000  # for a statement
# A text is looked for in this many of the newest runs first: most texts that people know are there.
_NEWEST = 2000
_SAMPLE = 60  # pages of the table (some 20 runs each) in which a text is counted


async def page(db: Db, which: Filter, *, after: Cursor | None, limit: int) -> list[PastRun]:
    """Newest first. Raises TooBroadError."""
    search = Search(which, after)
    try:
        async with db.acquire() as connection, connection.transaction(readonly=True):
            # A plan for these very values: tenants and texts are not alike.
            await connection.execute(
                f"set local statement_timeout = {_LONGEST_MS};"
                "set local plan_cache_mode = force_custom_plan"
            )
            if search.text is None:
                return _runs(await connection.fetch(_newest(search, limit), *search.parameters))
            return await _with_text(connection, search, limit)
    except asyncpg.QueryCanceledError:
        raise TooBroadError(
            f"this takes longer than {_LONGEST_MS / 1000:g} s: narrow the filter "
            "(a job, a tenant, a time, a longer text)"
        ) from None


async def _with_text(connection: Connection, search: Search, limit: int) -> list[PastRun]:
    rows = await connection.fetch(
        f"""
        with newest as materialized ({_newest(search, _NEWEST)})
        select found.*, looked_at.runs as looked_at
          from (select count(*) as runs from newest) as looked_at
          left join (select * from newest where {search.text}
                      {_ORDER} limit {limit:d}) as found on true
         {_ORDER}
        """,  # noqa: S608 - own words, and parameters
        *search.parameters,
    )
    looked_at = rows[0]["looked_at"]
    found = [row for row in rows if row["run_id"] is not None]
    if len(found) >= limit or looked_at < _NEWEST:
        return _runs(found)
    is_rare = await _is_rare(connection, search, limit)
    if is_rare:
        await connection.execute("set local enable_seqscan = off")
    statement = _found(search, limit) if is_rare else _newest(search, limit, f" and {search.text}")
    return _runs(await connection.fetch(statement, *search.parameters))


def _newest(search: Search, limit: int, condition: str = "") -> str:
    """The newest runs of a filter, by way of the indexes that have them in order."""
    branches = " union all ".join(
        f"(select {_WITH_AT} from job_runs where {branch}{condition} {_ORDER} limit {limit:d})"  # noqa: S608 - own words, and parameters
        for branch in search.branches()
    )
    return f"select * from ({branches}) as runs {_ORDER} limit {limit:d}"  # noqa: S608 - the same


def _found(search: Search, limit: int) -> str:
    """The same, by way of the index of texts: for a text that few runs have."""
    return f"""
        with found as materialized (select {", ".join(_COLUMNS)} from job_runs where {search.text})
        select {_WITH_AT} from found where {search.all_at_once} {_ORDER} limit {limit:d}
    """  # noqa: S608 - own words, and parameters


async def _is_rare(connection: Connection, search: Search, limit: int) -> bool:
    """Are fewer runs to be read by the index of texts, or by their order until a page is full?

    Says a sample of some pages of the table: what the server knows of texts is a guess.
    """
    pages = await connection.fetchval("select pg_relation_size('job_runs') / 8192")
    percent = min(100.0, 100 * _SAMPLE / max(pages, 1))
    row = await connection.fetchrow(
        f"""
        select count(*) filter (where {search.text}), count(*)
          from job_runs tablesample system ({percent:.6f})
        """,  # noqa: S608 - own words, and parameters
        *search.text_parameters,
    )
    with_text, runs = (number * 100 / percent for number in row or (0, 0))
    # All that have it, against as many as it takes until so many have it.
    return bool(with_text * with_text <= limit * runs)


async def get(db: Db, run_id: str) -> PastRun | None:
    """What is known of a run, by its id."""
    row = await db.fetchrow(
        f"select {', '.join(_COLUMNS)} from job_runs where run_id = $1",  # noqa: S608 - own columns
        stored_id(plain(run_id)),
    )
    return None if row is None else _run(row)


class Letter(NamedTuple):
    """A dead letter; its payload is the whole one, and None when it could not be read."""

    dead_letter_id: int
    status: str
    replayed_as: str | None
    payload: Mapping[str, Any] | None


async def letter_of(db: Db, run_id: str) -> Letter | None:
    """A dead run's newest letter."""
    row = await db.fetchrow(
        """
        select dead_letter_id, status, replayed_as, payload, raw from dead_letters
         where run_id = $1 order by died_at desc, dead_letter_id desc limit 1
        """,
        stored_id(plain(run_id)),
    )
    if row is None:
        return None
    dead_letter_id, status, replayed_as, payload, raw = row
    return Letter(dead_letter_id, status, replayed_as, payload_of(payload or raw))


class OutboxRun(NamedTuple):
    """A run that is in PostgreSQL alone; `message` are ARQ's bytes."""

    run_id: str
    job: str
    queue: str
    message: bytes
    due_at: datetime | None
    created_at: datetime


async def outbox_run(db: Db, run_id: str) -> OutboxRun | None:
    """A run that waits for its time, or for a relay."""
    # Those with a time of their own have an index; of the others hardly any waits.
    rows = await db.fetch(
        """
        select run_id, job, queue, message, due_at, created_at from outbox
         where run_id = $1 and epoch is null and due_at is not null
         union all
        select run_id, job, queue, message, due_at, created_at from outbox
         where run_id = $1 and epoch is null and due_at is null
         limit 1
        """,
        stored_id(plain(run_id)),
    )
    if not rows:
        return None
    due_at = rows[0]["due_at"]
    return OutboxRun(*rows[0])._replace(due_at=None if due_at is None else aware(due_at))


async def origin_of(db: Db, run_id: str) -> str:
    """The first of the runs that this one replayed, as far back as history knows."""
    origin: str = await db.fetchval(
        """
        with recursive chain as (
            select $1::text as run_id, 1 as depth
             union all
            select replay_of, depth + 1 from chain join job_runs using (run_id)
             where replay_of is not null and depth < 100
        )
        select run_id from chain order by depth desc limit 1
        """,
        run_id,
    )
    return origin


async def which_are_over(db: Db, run_ids: Sequence[str]) -> set[str]:
    rows = await db.fetch(
        "select run_id from job_runs where run_id = any($1) and state = any($2)",
        run_ids,
        [state for state in State if state.is_final],
    )
    return {row["run_id"] for row in rows}


async def delete_letters(db: Db, run_id: str) -> None:
    """Those that somebody has replayed or discarded."""
    await db.execute(
        "delete from dead_letters where run_id = $1 and status <> 'dead'", stored_id(plain(run_id))
    )


def _runs(rows: list[asyncpg.Record]) -> list[PastRun]:
    return [_run(row) for row in rows]


def _run(row: asyncpg.Record) -> PastRun:
    fields = {name: row[name] for name in _COLUMNS}
    return PastRun(
        **{**fields, "state": State(row["state"]), "payload": payload_of(row["payload"])}
    )


def payload_of(text: str | bytes | None) -> dict[str, Any] | None:
    """None for what is no JSON object."""
    try:
        value = None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
