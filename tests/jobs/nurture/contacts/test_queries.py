from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.nurture.contacts import queries
from tests.conftest import Tenant
from tests.jobs.nurture.conftest import NOW
from tests.jobs.nurture.world import add_contact, reply

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_contacts_and_replies_are_a_tenants_own(db: "Db", tenant: Tenant) -> None:
    tenant_id, other = tenant.tenant_id, uuid4()
    contact = await add_contact(db, tenant_id)
    await reply(db, tenant_id, contact, NOW)

    (row,) = await queries.contacts(db, tenant_id, [contact, uuid4()])

    assert (row.contact_id, row.marketing_by_email) == (contact, True)
    assert await queries.last_reply(db, tenant_id, contact) == NOW
    assert await queries.contacts(db, other, [contact]) == []
    assert await queries.last_reply(db, other, contact) is None
