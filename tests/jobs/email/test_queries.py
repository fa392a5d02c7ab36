from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from jobs.email import queries
from jobs.messaging.core.recipient import Recipient
from tests.conftest import Tenant, User
from tests.jobs.email.notices import insert_notice

if TYPE_CHECKING:
    import asyncpg


async def test_a_recipient_comes_with_their_own_way_out(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, user: User
) -> None:
    recipient = await queries.find_recipient(db, tenant.tenant_id, user.user_id)

    assert recipient == Recipient(
        tenant_id=tenant.tenant_id,
        name=user.full_name,
        locale=user.locale,
        timezone=user.timezone,
        email=user.email,
        unsubscribe_token=user.unsubscribe_token,
    )


@pytest.mark.parametrize("stranger", ["tenant", "user"])
async def test_a_recipient_of_another_tenant_is_not_found(
    db: "asyncpg.Pool[asyncpg.Record]", user: User, stranger: str
) -> None:
    tenant_id = uuid4() if stranger == "tenant" else user.tenant_id
    user_id = uuid4() if stranger == "user" else user.user_id

    assert await queries.find_recipient(db, tenant_id, user_id) is None


async def test_opportunities_are_the_tenants_own(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    due_at = datetime.fromisoformat("2026-12-05T17:00-05:00")
    other = uuid4()
    await db.execute("insert into tenants (tenant_id, name) values ($1, 'Other')", other)
    await insert_notice(db, other, "theirs")
    await insert_notice(db, tenant.tenant_id, "not asked for")
    await insert_notice(
        db,
        tenant.tenant_id,
        "ours",
        title="Çatı onarımı",
        response_due_at=due_at,
        response_due_on=date(2026, 12, 5),
        set_aside="SBA",
    )

    found = await queries.opportunities(db, tenant.tenant_id, ("ours", "theirs", "unknown"))

    (one,) = found
    assert (one.notice_id, one.title, one.set_aside) == ("ours", "Çatı onarımı", "SBA")
    assert (one.response_due_at, one.response_due_on) == (due_at, date(2026, 12, 5))
