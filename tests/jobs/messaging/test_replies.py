from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.messaging.outcomes.queries import Candidate
from jobs.messaging.replies import on_reply, repliers
from tests.jobs.messaging.deliveries import NOW, NUMBER, insert_tenant

if TYPE_CHECKING:
    import asyncpg


def candidate(phone: str, country: str) -> Candidate:
    return Candidate(uuid4(), uuid4(), phone, country)


def test_a_number_is_read_as_its_tenants_country_does() -> None:
    turkish, american = candidate("0532 123 45 67", "TR"), candidate("0532 123 45 67", "US")
    written_out = candidate("+90 (532) 123-45-67", "US")

    assert repliers([turkish, american, written_out], NUMBER) == [turkish, written_out]


async def test_a_reply_of_nobody_is_not_recorded(db: "asyncpg.Pool[asyncpg.Record]") -> None:
    tenant_id = await insert_tenant(db)

    async with db.acquire() as connection:
        await on_reply(connection, tenant_id, uuid4(), "sms", replied_at=NOW)

    assert await db.fetchval("select count(*) from contact_replies") == 0
