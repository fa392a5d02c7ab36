"""What a play writes into PostgreSQL and reads from it; triggers keep what workers forget."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.reminders.scan_appointments import scan_appointments
from tests.chaos.reminder_checks import Arrived, Change, Scanned, Seen
from tests.chaos.reminder_plan import Booking, Plan
from worker.outbox import enqueue_in

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

_LONG = timedelta(minutes=45)


async def keep_log(db: "Db") -> None:
    """From now on every run that is asked for leaves a row, and its end another."""
    await db.execute(
        """
        create table play_runs (run_id text primary key);
        create table play_ends (run_id text primary key, how text not null, until timestamptz);
        create function log_run() returns trigger language plpgsql as
            'begin insert into play_runs values (new.run_id) on conflict do nothing;
             return new; end';
        create trigger log_run after insert on outbox for each row execute function log_run();
        """
    )


async def insert_plan(db: "Db", plan: Plan) -> None:
    async with db.acquire() as connection, connection.transaction():
        await connection.executemany(
            "insert into tenants (tenant_id, name) values ($1, 'Acme')",
            [(one,) for one in plan.tenants],
        )
        await connection.executemany(
            """
            insert into contacts (tenant_id, contact_id, full_name, email, phone, timezone,
                                  reminders_by_email, reminders_by_sms, preferred_channel)
            values ($1, $2, 'Ada', $3, $4, $5, $6, $7, $8)
            """,
            [
                (
                    one.tenant_id, one.contact_id, one.email, one.phone, one.zone,
                    "email" in one.consented, "sms" in one.consented, one.preferred,
                )
                for one in plan.bookings
            ],
        )  # fmt: skip
        await connection.executemany(
            """
            insert into appointments (tenant_id, appointment_id, contact_id, starts_at, ends_at,
                                      status)
            values ($1, $2, $3, $4, $5, $6)
            """,
            [
                (
                    one.tenant_id, one.appointment_id, one.contact_id, one.starts_at,
                    one.starts_at + _LONG, one.status,
                )
                for one in plan.bookings
            ],
        )  # fmt: skip


async def ask_for_scan(db: "Db", run_id: str, due_at: datetime) -> None:
    async with db.acquire() as connection, connection.transaction():
        await enqueue_in(connection, scan_appointments, {"due_at": due_at}, run_id=run_id)


async def change_appointment(db: "Db", booking: Booking, status: str, starts_at: datetime) -> None:
    await db.execute(
        """
        update appointments set status = $3, starts_at = $4, ends_at = $5
         where tenant_id = $1 and appointment_id = $2
        """,
        booking.tenant_id,
        booking.appointment_id,
        status,
        starts_at,
        starts_at + _LONG,
    )


async def open_runs(db: "Db", now: datetime) -> set[str]:
    """Runs that are not over, without those that wait for a night to end."""
    rows = await db.fetch(
        """
        select run_id from play_runs
         where not exists (select from play_ends
                            where play_ends.run_id = play_runs.run_id
                              and (until is null or until > $1))
           and not exists (select from dead_letters where dead_letters.run_id = play_runs.run_id)
        """,
        now,
    )
    return {row["run_id"] for row in rows}


async def wakeful_runs(db: "Db", now: datetime) -> list[str]:
    """Runs whose night is over."""
    rows = await db.fetch("select run_id from play_ends where until <= $1", now)
    return [row["run_id"] for row in rows]


async def read_seen(
    db: "Db",
    plan: Plan,
    steps: Sequence[Scanned],
    changes: Mapping[UUID, Sequence[Change]],
    accepted: Path,
) -> Seen:
    """Everything, when all workers are gone."""
    deliveries = await db.fetch("select message_id, status from deliveries")
    dead = await db.fetch("select run_id, reason from dead_letters")
    appointments = await db.fetch(
        "select appointment_id, starts_at, reminder_24h_sent_at, reminder_3h_sent_at"
        " from appointments"
    )
    lines = [line.split() for line in accepted.read_text().splitlines()]
    return Seen(
        bookings=plan.bookings,
        steps=steps,
        changes=changes,
        arrived=[Arrived(channel, int(at), id_, to) for channel, at, id_, to in lines],
        statuses={row["message_id"]: row["status"] for row in deliveries},
        dead={row["run_id"]: row["reason"] for row in dead},
        fields={row[0]: (row[1], row[2], row[3]) for row in appointments},
    )
