from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from jobs.kit import Run
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


def run(**parts: Any) -> Run:
    usual = Run(
        run_id="run-1",
        job="email.send_welcome",
        queue="email",
        attempt=2,
        key="k",
        enqueued_at=NOW - timedelta(minutes=1),
        correlation_id="c",
    )
    return replace(usual, **parts)


@pytest.mark.parametrize(
    ("delivery", "asker", "is_found"),
    [
        ({}, {}, True),
        ({"status": "sending"}, {}, True),
        ({"status": "unconfirmed"}, {}, True),
        ({"status": "suppressed"}, {}, False),
        ({"status": "rejected"}, {}, False),
        ({"key": "another:1"}, {}, False),
        ({}, {"run_id": "run-2"}, False),
        ({}, {"run_id": "run-2", "replay_of": "run-1"}, True),
        # A run id that a caller chose may come again.
        ({"claimed_at": NOW - timedelta(days=1)}, {}, False),
        ({"claimed_at": NOW - timedelta(days=1)}, {"run_id": "2", "replay_of": "run-1"}, True),
    ],
    ids=str,
)
async def test_a_run_finds_the_message_that_it_sent_or_may_have_sent(
    db: "Db", delivery: dict[str, Any], asker: dict[str, Any], *, is_found: bool
) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, **{"key": "mine:1", **delivery})

    found = await queries.key_of_run(db, tenant_id, run(**asker), prefix="mine:")

    assert found == ("mine:1" if is_found else None)
    assert await queries.key_of_run(db, uuid4(), run(**asker), prefix="mine:") is None


@pytest.mark.parametrize(
    ("delivery", "has_left"),
    [
        ({}, True),
        ({"status": "sending"}, True),
        ({"status": "rejected"}, False),
        ({"key": "c"}, False),
        ({"claimed_at": NOW - timedelta(hours=1)}, False),
    ],
    ids=str,
)
async def test_what_has_left_lately_is_found_by_its_keys(
    db: "Db", delivery: dict[str, Any], *, has_left: bool
) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, **{"key": "b", **delivery})
    since = NOW - timedelta(minutes=1)

    assert await queries.has_left_since(db, tenant_id, ["a", "b"], since) is has_left


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
