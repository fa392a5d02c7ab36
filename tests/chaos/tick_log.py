"""What PostgreSQL saw of schedules: triggers keep what the worker forgets in time."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from tests.chaos.tick_checks import Fired, Last


async def keep_log(url: str) -> None:
    """From now on every tick and every run of the outbox leaves a row of its own."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        """
        create table tick_log (like schedule_ticks);
        create table outbox_log (run_id text, job text);
        create function log_tick() returns trigger language plpgsql as
            'begin insert into tick_log select new.*; return new; end';
        create function log_run() returns trigger language plpgsql as
            'begin insert into outbox_log values (new.run_id, new.job); return new; end';
        create trigger log_tick after insert on schedule_ticks
            for each row execute function log_tick();
        create trigger log_run after insert on outbox for each row execute function log_run();
        """
    )
    await connection.close()


async def stop_schedules(url: str, names: Sequence[str]) -> dict[str, Last]:
    """No more ticks; returns how far each schedule has come."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        """
        update schedules set paused_at = now() where name = any($1)
        returning name, anchor_at, next_due_at, missed
        """,
        names,
    )
    await connection.close()
    return {row["name"]: Last(*list(row)[1:]) for row in rows}


async def count_open(url: str) -> int:
    """Runs whose end nobody has written down."""
    connection = await asyncpg.connect(url)
    number: int = await connection.fetchval("select count(*) from outbox")
    await connection.close()
    return number


async def read_fired(url: str) -> list[Fired]:
    """In the order in which they fired, within each schedule."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "select schedule, due_at, fired_at, run_id, is_by_hand from tick_log order by tick_id"
    )
    await connection.close()
    return [Fired(*row) for row in rows]


async def read_runs(url: str) -> tuple[list[str], dict[str, list[str]]]:
    """The runs that were enqueued, and how each of their attempts ended."""
    connection = await asyncpg.connect(url)
    enqueued = await connection.fetch("select run_id from outbox_log")
    attempts = await connection.fetch("select run_id, outcome from job_attempts order by event_id")
    await connection.close()
    outcomes: dict[str, list[str]] = {}
    for run_id, outcome in attempts:
        outcomes.setdefault(run_id, []).append(outcome)
    return [row["run_id"] for row in enqueued], outcomes


async def read_states(url: str) -> dict[str, str | None]:
    """What the schedules themselves say of the runs of their newest ticks."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("select run_id, state from schedule_ticks")
    await connection.close()
    return {row["run_id"]: row["state"] for row in rows}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
