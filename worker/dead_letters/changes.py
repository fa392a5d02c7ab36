"""The statements that change dead letters: each touches a page of them, at most.

Two that do so at once never take the same letter, and never wait for each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from worker.dead_letters.letters import Cursor, DeadLetter, Filter
from worker.dead_letters.queries import COLUMNS, Connection, Db, dead_letter_of
from worker.dead_letters.where import Where


async def newest_id(db: Db) -> int:
    """The greatest id so far; 0 when there was none."""
    return await db.fetchval("select coalesce(max(dead_letter_id), 0) from dead_letters") or 0


@dataclass(frozen=True, slots=True)
class Taken:
    """A waiting letter that nobody else can touch until the transaction ends.

    `replay_of` is what its run replayed itself; `is_replayed`: history knows a replay of it.
    """

    letter: DeadLetter
    replay_of: str | None
    is_replayed: bool


async def take(
    connection: Connection, which: Filter, *, after: Cursor | None, newest_id: int, limit: int
) -> list[Taken]:
    """The oldest letters behind a place, but none that somebody else has in hand right now."""
    where = _behind(which, after, newest_id)
    return await _take(
        connection,
        f"""{where} order by died_at, dead_letter_id limit {where.parameter(limit)}
            for update skip locked""",
        where.parameters,
    )


async def take_these(connection: Connection, dead_letter_ids: Sequence[int]) -> list[Taken]:
    """Those that are there and wait; waits for whoever has one in hand."""
    return await _take(
        connection,
        # In one order, so that two who ask for the same ones never wait for each other.
        "dead_letter_id = any($1) and status = 'dead' order by dead_letter_id for update",
        [dead_letter_ids],
    )


async def _take(connection: Connection, which: str, parameters: Sequence[object]) -> list[Taken]:
    rows = await connection.fetch(
        f"select {COLUMNS} from dead_letters where {which}",  # noqa: S608 - own words, parameters
        *parameters,
    )
    letters = [dead_letter_of(row) for row in rows]
    known = await connection.fetch(
        "select run_id, replay_of from job_runs where run_id = any($1)",
        [name for one in letters for name in (one.run_id, replay_id(one.dead_letter_id))],
    )
    replay_of = {row["run_id"]: row["replay_of"] for row in known}
    return [
        Taken(one, replay_of.get(one.run_id), replay_id(one.dead_letter_id) in replay_of)
        for one in letters
    ]


def replay_id(dead_letter_id: int) -> str:
    """The run that replays a letter: a replay that broke off and is tried again is the same."""
    return f"replay:{dead_letter_id}"


async def mark_replayed(connection: Connection, dead_letter_ids: Sequence[int]) -> None:
    await connection.execute(
        """
        update dead_letters
           set status = 'replayed', replayed_as = 'replay:' || dead_letter_id, handled_at = now()
         where dead_letter_id = any($1)
        """,
        dead_letter_ids,
    )


async def discard_one(db: "Db | Connection", dead_letter_id: int, reason: str) -> bool:
    """False when it is not there, or not waiting any more."""
    done = await db.fetchval(
        """
        update dead_letters set status = 'discarded', discarded_because = $2, handled_at = now()
         where dead_letter_id = $1 and status = 'dead' returning 1
        """,
        dead_letter_id,
        reason,
    )
    return done is not None


async def discard_page(
    db: Db, which: Filter, *, reason: str, after: Cursor | None, newest_id: int, limit: int
) -> tuple[int, Cursor | None]:
    """How many went, and the place of the last of them; None when it was the last page."""
    where = _behind(which, after, newest_id)
    chosen = _chosen(where, limit)
    rows = await db.fetch(
        f"""
        with chosen as materialized ({chosen})
        update dead_letters
           set status = 'discarded', discarded_because = {where.parameter(reason)},
               handled_at = now()
          from chosen where dead_letters.dead_letter_id = chosen.dead_letter_id
        returning chosen.died_at, chosen.dead_letter_id
        """,  # noqa: S608 - own words, and parameters
        *where.parameters,
    )
    return len(rows), _last(rows, limit)


async def delete_page(
    db: Db, which: Filter, *, after: Cursor | None, newest_id: int, limit: int
) -> tuple[int, Cursor | None]:
    """The same, for good."""
    where = _behind(which, after, newest_id)
    rows = await db.fetch(
        f"""
        with chosen as materialized ({_chosen(where, limit)})
        delete from dead_letters using chosen
         where dead_letters.dead_letter_id = chosen.dead_letter_id
        returning chosen.died_at, chosen.dead_letter_id
        """,  # noqa: S608 - own words, and parameters
        *where.parameters,
    )
    return len(rows), _last(rows, limit)


async def group_older(db: Db, *, after_id: int, limit: int) -> tuple[int, int | None]:
    """Put letters from before there were groups into theirs.

    Returns how many those were, and the last one's id; None when it was the last page.
    """
    rows = await db.fetch(
        """
        with chosen as materialized (
            select dead_letter_id from dead_letters
             where error_group is null and dead_letter_id > $1
             order by dead_letter_id limit $2 for update skip locked
        )
        update dead_letters set error_group = dead_letter_group(job, error_type, error_message)
          from chosen where dead_letters.dead_letter_id = chosen.dead_letter_id
        returning chosen.dead_letter_id
        """,
        after_id,
        limit,
    )
    last_id = max((row["dead_letter_id"] for row in rows), default=None)
    return len(rows), last_id if len(rows) == limit else None


def _behind(which: Filter, after: Cursor | None, newest_id: int) -> Where:
    where = Where(which)
    where.add("dead_letter_id <= {}", newest_id)
    if after is not None:
        where.add("(died_at, dead_letter_id) > ({}, {})", *after)
    return where


def _chosen(where: Where, limit: int) -> str:
    return f"""
        select died_at, dead_letter_id from dead_letters where {where}
         order by died_at, dead_letter_id limit {where.parameter(limit)} for update skip locked
    """  # noqa: S608 - own words, and parameters


def _last(rows: Iterable[asyncpg.Record], limit: int) -> Cursor | None:
    places = [Cursor(*row) for row in rows]
    return max(places) if len(places) == limit else None
