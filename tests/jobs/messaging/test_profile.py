from datetime import UTC, datetime, time
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from clients.errors import RequestRejectedError
from clients.mail import Sender
from jobs.messaging.profile import profile_of
from tests.conftest import Tenant

if TYPE_CHECKING:
    import asyncpg


async def test_a_tenant_without_a_profile_has_the_defaults(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    profile = await profile_of(db, tenant.tenant_id)

    assert profile.tenant_name == tenant.name
    assert (profile.locale, profile.timezone) == (tenant.locale, tenant.timezone)
    assert (profile.sender, profile.reply_to, profile.sms_sender) == (None, None, None)
    assert (profile.country, profile.postal_address, profile.accent) == ("US", "", None)
    assert (profile.quiet_from, profile.quiet_to) == (time(21), time(8))
    assert (profile.transliterates_sms, profile.payment_hosts) == (False, ())


async def test_a_profile_is_read_as_it_is(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    await db.execute(
        """
        insert into messaging_profiles (tenant_id, email_from, reply_to, sms_from, country,
            postal_address, accent, quiet_from, quiet_to, transliterates_sms, payment_hosts)
        values ($1, 'Iğdır Yapı <post@igdir.example>', 'help@igdir.example', 'IGDIR', 'TR',
            E'Bağdat Cad. 1\\nİstanbul', '#0f766e', '22:00', '07:30', true, '{pay.example.com}')
        """,
        tenant.tenant_id,
    )

    profile = await profile_of(db, tenant.tenant_id)

    assert profile.sender == Sender(address="post@igdir.example", name="Iğdır Yapı")
    assert (profile.reply_to, profile.sms_sender) == ("help@igdir.example", "IGDIR")
    assert profile.postal_address == "Bağdat Cad. 1 İstanbul"
    assert (profile.country, profile.accent) == ("TR", "#0f766e")
    assert (profile.transliterates_sms, profile.payment_hosts) == (True, ("pay.example.com",))
    night = datetime(2026, 11, 30, 20, tzinfo=UTC)
    assert profile.quiet_until(night, ZoneInfo("Europe/Istanbul")) == datetime(
        2026, 12, 1, 4, 30, tzinfo=UTC
    )


async def test_a_sender_that_is_no_address_is_named(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    await db.execute(
        "insert into messaging_profiles (tenant_id, email_from) values ($1, 'nobody')",
        tenant.tenant_id,
    )

    with pytest.raises(RequestRejectedError, match=r"messaging_profiles\.email_from"):
        await profile_of(db, tenant.tenant_id)


async def test_an_unknown_tenant_is_refused(db: "asyncpg.Pool[asyncpg.Record]") -> None:
    with pytest.raises(RequestRejectedError, match="no such tenant"):
        await profile_of(db, UUID(int=1))
