from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from jobs.documents.run_report_schedule import run_report_schedule
from tests.conftest import Tenant
from tests.jobs.documents.rows import add_notice
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

DUE_AT = datetime(2026, 11, 23, 6, tzinfo=UTC).isoformat()


@pytest.fixture
async def report_schedule_id(db: "Db", tenant: Tenant) -> UUID:
    """A weekly one, at 09:00 in Istanbul."""
    schedule_id = uuid4()
    await db.execute(
        """
        insert into report_schedules (report_schedule_id, tenant_id, name, report_type, format,
                                      language, period, recipients)
        values ($1, $2, 'Haftalık özet', 'opportunities', 'csv', 'tr', 'week',
                '{ayse@anadolu.example, can@anadolu.example}')
        """,
        schedule_id,
        tenant.tenant_id,
    )
    await db.execute(
        """
        insert into schedules (name, job, kind, line, tz, catch_up, catch_up_window, may_overlap,
                               anchor_at)
        values ('report:' || $1::text, 'documents.run_report_schedule', 'report', '0 9 * * 1',
                'Europe/Istanbul', 'latest', '1 day', false, now())
        """,
        str(schedule_id),
    )
    return schedule_id


@pytest.fixture
def payload(tenant: Tenant, report_schedule_id: UUID) -> dict[str, str]:
    return {
        "tenant_id": str(tenant.tenant_id),
        "report_schedule_id": str(report_schedule_id),
        "due_at": DUE_AT,
    }


async def mails(db: "Db") -> list[dict[str, Any]]:
    """The payloads of the mails that are to be sent."""
    rows = await db.fetch(
        "select message from outbox where job = 'messaging.send_report' order by outbox_id"
    )
    return [orjson.loads(row["message"])["a"][0] for row in rows]


async def test_the_report_is_about_the_week_that_was_over_when_it_was_due(
    rig: Rig, db: "Db", tenant: Tenant, payload: dict[str, str]
) -> None:
    for number, day in enumerate((15, 16, 22, 23)):
        await add_notice(db, tenant.tenant_id, f"n{number}", posted_on=date(2026, 11, day))

    ended = (await rig.run(run_report_schedule, payload)).succeeded()

    assert (ended["period"], ended["rows"], ended["mails"]) == ("2026-11-16 to 2026-11-22", 2, 2)
    table = await rig.storage.read(ended["key"], limit=100_000)
    assert len(table.decode().strip().splitlines()) == 3


async def test_each_recipient_is_to_be_mailed_the_file(
    rig: Rig, db: "Db", payload: dict[str, str]
) -> None:
    ended = (await rig.run(run_report_schedule, payload)).succeeded()

    first, second = await mails(db)
    assert [first["email"], second["email"]] == ["ayse@anadolu.example", "can@anadolu.example"]
    del first["email"]
    assert first == {
        "tenant_id": payload["tenant_id"],
        "report_key": ended["key"],
        "title": "Haftalık özet",
        "period_from": "2026-11-16",
        "period_to": "2026-11-22",
        "language": "tr",
        "timezone": "Europe/Istanbul",
        "report_schedule_id": payload["report_schedule_id"],
    }


async def test_what_is_done_twice_is_mailed_once(
    rig: Rig, db: "Db", payload: dict[str, str]
) -> None:
    first = (await rig.run(run_report_schedule, payload, run_id="one")).succeeded()
    again = (await rig.run(run_report_schedule, payload, run_id="one", attempt=2)).succeeded()

    assert first["key"] == again["key"]
    statuses = [
        (await rig.run("messaging.send_report", mail)).succeeded().status
        for mail in await mails(db)
    ]
    assert statuses == ["sent", "sent", "already_sent", "already_sent"]


async def test_one_who_has_no_address_does_not_keep_it_from_the_others(
    rig: Rig, db: "Db", payload: dict[str, str]
) -> None:
    await db.execute(
        "update report_schedules set recipients = '{no-one@nowhere, can@anadolu.example}'"
    )

    assert (await rig.run(run_report_schedule, payload)).succeeded()["mails"] == 1

    assert [mail["email"] for mail in await mails(db)] == ["can@anadolu.example"]
    (line,) = [line for line in rig.logs if line["log_level"] == "warning"]
    assert (line["left_out"], "no-one" in str(line)) == (1, False)


async def test_a_schedule_of_nobody_only_makes_the_report(
    rig: Rig, db: "Db", payload: dict[str, str]
) -> None:
    await db.execute("update report_schedules set recipients = '{}'")

    assert (await rig.run(run_report_schedule, payload)).succeeded()["mails"] == 0
    assert await mails(db) == []


@pytest.mark.parametrize("stranger", ["tenant_id", "report_schedule_id"])
async def test_one_that_nobody_wants_any_more_is_not_made(
    rig: Rig, payload: dict[str, str], stranger: str
) -> None:
    ended = await rig.run(run_report_schedule, {**payload, stranger: str(uuid4())})

    assert ended.cancelled() == "nobody wants this report any more"
