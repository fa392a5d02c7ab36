from typing import TYPE_CHECKING, Any

import pytest

from jobs.messaging.core.outcomes import Event
from jobs.messaging.outcomes import queries
from tests.jobs.messaging.deliveries import (
    MAIL_ID,
    NOW,
    insert_delivery,
    insert_tenant,
)

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


def event(**parts: Any) -> Event:
    return Event(
        **{
            "provider": "sendgrid",
            "event_id": "e-1",
            "message_id": None,
            "provider_id": None,
            "happened_at": NOW,
            **parts,
        }
    )


async def test_our_id_is_believed_before_theirs(db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, key="theirs", message_id="<m@ours.example>")
    await insert_delivery(db, tenant_id, key="ours", provider_id="sg-2")

    async with db.acquire() as connection, connection.transaction():
        found = await queries.lock_delivery(
            connection, event(message_id=MAIL_ID, provider_id="sg-1")
        )

    assert found is not None
    assert found.key == "ours"


@pytest.mark.parametrize("parts", [{}, {"provider_id": "sg-1", "provider": "twilio"}])
async def test_an_event_about_nothing_finds_nothing(db: "Db", parts: dict[str, str]) -> None:
    await insert_delivery(db, await insert_tenant(db))

    async with db.acquire() as connection, connection.transaction():
        assert await queries.lock_delivery(connection, event(**parts)) is None


async def test_an_index_finds_the_delivery_of_an_event(db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    for number in range(50):
        names = {"message_id": f"<{number}@ours.example>", "provider_id": f"sg-{number}"}
        await insert_delivery(db, tenant_id, **names)
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("analyze deliveries")
        await connection.execute("set local enable_seqscan = off")
        plan = await connection.fetch(
            """
            explain select * from deliveries
             where message_id = '<7@ours.example>'
                or (provider = 'sendgrid' and provider_id = 'sg-7')
            """
        )

    text = str([row[0] for row in plan])
    assert "deliveries_by_message" in text
    assert "deliveries_by_provider_id" in text


async def test_an_index_finds_who_has_a_number(db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    async with db.acquire() as connection, connection.transaction():
        for number in range(300):
            await connection.execute(
                "insert into contacts (tenant_id, contact_id, full_name, phone)"
                " values ($1, gen_random_uuid(), 'Pat', $2)",
                tenant_id,
                f"0532 123 {number:04}",
            )
        await connection.execute("analyze contacts")
        await connection.execute("set local enable_seqscan = off")
        plan = await connection.fetch(
            r"""
            explain select * from contacts where phone is not null
               and right(regexp_replace(phone, '\D', '', 'g'), 7) = right('+905321230042', 7)
            """
        )

    assert "contacts_by_last_digits" in str([row[0] for row in plan])
