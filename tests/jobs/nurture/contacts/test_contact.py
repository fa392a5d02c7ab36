from typing import TYPE_CHECKING

from jobs.messaging.profile import profile_of
from jobs.nurture.contacts.contact import load_contacts
from tests.conftest import Tenant
from tests.jobs.nurture.conftest import NOW
from tests.jobs.nurture.world import add_contact, suppress

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_an_address_is_known_as_it_was_suppressed(db: "Db", tenant: Tenant) -> None:
    """A number in E.164, whatever it was written like; a domain with or without IDNA."""
    tenant_id = tenant.tenant_id
    await db.execute(
        "insert into messaging_profiles (tenant_id, country) values ($1, 'TR')", tenant_id
    )
    contact = await add_contact(
        db, tenant_id, email="Deniz@Müller.example", phone="0 (532) 123 45 67", by_sms=True
    )
    await suppress(db, tenant_id, "sms", "+905321234567", "opted out", NOW)
    await suppress(db, tenant_id, "email", "deniz@müller.example", "bounced", NOW)

    (known,) = await load_contacts(db, await profile_of(db, tenant_id), [contact])

    standing = known.standing
    assert known.recipient.phone == "+905321234567"
    assert standing.addressed == {"email", "sms"}
    assert {channel: one.reason for channel, one in standing.suppressed.items()} == {
        "sms": "opted out",
        "email": "bounced",
    }
    assert standing.usable == set()


async def test_what_is_no_address_or_a_house_telephone_is_none(db: "Db", tenant: Tenant) -> None:
    contact = await add_contact(
        db, tenant.tenant_id, email="nobody", phone="+902121234567", by_sms=True
    )

    (known,) = await load_contacts(db, await profile_of(db, tenant.tenant_id), [contact])

    assert known.standing.addressed == set()
    assert known.standing.consented == {"email", "sms"}
