"""The statements of retention. Rows of one kind that a partial index has in order are a shelf."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_LOCK = 0x6465736B6F6C64  # "deskold": nothing else in the database uses it
_ROWS = 2000  # that a statement deletes, at most

# The attempts that a waiting dead letter tells of stay with it.
_IS_NOT_TOLD_OF = """
    not exists (select from dead_letters
                 where dead_letters.run_id = job_attempts.run_id and status = 'dead')
"""


class Edge(NamedTuple):
    """Instant and id of the newest row that goes: the ids tell equal instants apart."""

    at: datetime
    row_id: str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """`least_id` comes before every id. The words are this module's own, and no parameters."""

    kind: str
    counted_as: Literal["completed", "failed"] | None
    table: Literal["job_runs", "dead_letters", "outbox"]
    condition: str
    instant: str
    row_id: str
    least_id: str | int

    @property
    def rows(self) -> str:
        return f"from {self.table} where queue = $1 and {self.condition}"

    @property
    def rows_to_edge(self) -> str:
        return f"{self.rows} and ({self.instant}, {self.row_id}) <= ($2, $3)"

    @property
    def newest_first(self) -> str:
        return f"order by {self.instant} desc, {self.row_id} desc"


def _runs(kind: str, counted_as: Literal["completed", "failed"] | None, *states: str) -> Shelf:
    separator = "', '"
    return Shelf(
        kind=kind,
        counted_as=counted_as,
        table="job_runs",
        condition=f"state in ('{separator.join(states)}')",
        instant="started_at" if counted_as is None else "finished_at",
        row_id="run_id",
        least_id="",
    )


def _letters(kind: str, counted_as: Literal["failed"] | None, *, condition: str) -> Shelf:
    return Shelf(
        kind=kind,
        counted_as=counted_as,
        table="dead_letters",
        condition=condition,
        instant="handled_at" if counted_as is None else "died_at",
        row_id="dead_letter_id",
        least_id=0,
    )


# Letters first: a waiting one holds back the attempts that it tells of.
SHELVES = (
    _letters("dead letters", "failed", condition="status = 'dead'"),
    _letters("handled dead letters", None, condition="status <> 'dead'"),
    _runs("completed runs", "completed", "succeeded", "cancelled", "expired"),
    _runs("dead runs", "failed", "dead"),
    _runs("unfinished runs", None, "retrying", "snoozed", "released"),
    Shelf(
        kind="rows of the outbox whose runs are gone",
        counted_as=None,
        table="outbox",
        condition="missing_at is not null",
        instant="missing_at",
        row_id="outbox_id",
        least_id=0,
    ),
)


async def lock(connection: Connection) -> bool:
    """The right to prune, until `unlock` or the connection's end; False when another has it."""
    return bool(await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK))


async def unlock(connection: Connection) -> None:
    await connection.execute("select pg_advisory_unlock($1)", _LOCK)


async def queues(connection: Connection, shelf: Shelf) -> list[str]:
    """The queues that have rows on a shelf, from one to the next through its index."""
    some = f"select queue from {shelf.table} where {shelf.condition}"  # noqa: S608 - own words
    rows = await connection.fetch(
        f"""
        with recursive queues as (
            ({some} order by queue limit 1)
            union all
            select ({some} and {shelf.table}.queue > queues.queue
                    order by {shelf.table}.queue limit 1)
              from queues where queue is not null
        )
        select queue from queues where queue is not null
        """  # noqa: S608 - own words
    )
    return [row["queue"] for row in rows]


async def newest_beyond(
    connection: Connection, shelf: Shelf, queue: str, newest: int
) -> Edge | None:
    """The newest row of a queue that is not among its `newest` ones, if there are so many."""
    row = await connection.fetchrow(
        f"""
        select {shelf.instant}, {shelf.row_id} {shelf.rows}
        {shelf.newest_first} offset $2 limit 1
        """,
        queue,
        newest,
    )
    return None if row is None else Edge(*row)


async def count(connection: Connection, shelf: Shelf, queue: str, edge: Edge) -> tuple[int, int]:
    """How many rows `delete` would take. Attempts are not counted: letters hold some of them."""
    rows = await connection.fetchval(
        f"select count(*) {shelf.rows_to_edge}", queue, edge.at, edge.row_id
    )
    return rows, 0


async def delete(connection: Connection, shelf: Shelf, queue: str, edge: Edge) -> tuple[int, int]:
    """Delete all up to the edge; returns how many rows, and how many attempts of runs."""
    rows = attempts = 0
    while True:
        async with connection.transaction():
            page = await connection.fetch(
                f"""
                select {shelf.instant}, {shelf.row_id} {shelf.rows_to_edge}
                {shelf.newest_first} limit {_ROWS} for update skip locked
                """,
                queue,
                edge.at,
                edge.row_id,
            )
            ids = [row_id for _, row_id in page]
            if shelf.table == "job_runs":
                attempts += await _delete_attempts_of(connection, ids)
            await connection.execute(
                f"delete from {shelf.table} where {shelf.row_id} = any($1)",  # noqa: S608 - own words
                ids,
            )
        rows += len(page)
        if len(page) < _ROWS:
            return rows, attempts
        # Downwards: the next page does not go through what has just been deleted.
        edge = Edge(*page[-1])


async def count_attempts(connection: Connection, before: datetime) -> int:
    """How many attempts `delete_attempts` would take, once the old runs are gone."""
    number = await connection.fetchval(
        f"""
        select count(*) from job_attempts join job_runs using (run_id)
         where ended_at < $1 and coalesce(finished_at, job_runs.started_at) >= $1
           and {_IS_NOT_TOLD_OF}
        """,  # noqa: S608 - own words
        before,
    )
    return int(number)


async def delete_attempts(connection: Connection, before: datetime) -> int:
    """Delete attempts that ended earlier, whatever became of their runs; returns how many."""
    return await _delete_pages(
        connection,
        f"ended_at < $1 and {_IS_NOT_TOLD_OF} order by ended_at",
        before,
    )


async def count_delivery_events(connection: Connection, before: datetime) -> int:
    """How many events of providers `delete_delivery_events` would take."""
    number = await connection.fetchval(
        "select count(*) from delivery_events where received_at < $1", before
    )
    return int(number)


async def delete_delivery_events(connection: Connection, before: datetime) -> int:
    """Forget which events of providers were dealt with: they repeat them for a day."""
    total = 0
    while True:
        deleted: int = await connection.fetchval(
            f"""
            with page as materialized (
                select provider, event_id from delivery_events
                 where received_at < $1 order by received_at limit {_ROWS} for update skip locked
            ), gone as (
                delete from delivery_events using page
                 where (delivery_events.provider, delivery_events.event_id)
                       = (page.provider, page.event_id)
                returning 1
            )
            select count(*) from gone
            """,  # noqa: S608 - own words
            before,
        )
        total += deleted
        if deleted < _ROWS:
            return total


async def _delete_attempts_of(connection: Connection, run_ids: list[str]) -> int:
    return await _delete_pages(connection, f"run_id = any($1) and {_IS_NOT_TOLD_OF}", run_ids)


async def _delete_pages(connection: Connection, which: str, parameter: datetime | list[str]) -> int:
    total = 0
    while True:
        deleted: int = await connection.fetchval(
            f"""
            with page as materialized (
                select event_id from job_attempts where {which} limit {_ROWS}
            ), gone as (
                delete from job_attempts using page
                 where job_attempts.event_id = page.event_id returning 1
            )
            select count(*) from gone
            """,  # noqa: S608 - own words
            parameter,
        )
        total += deleted
        if deleted < _ROWS:
            return total
