from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from jobs.dunning.holds.queries import hold, lift
from tests.conftest import Tenant
from tests.jobs.dunning.rows import NOW, insert_contact

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]


async def held(db: "Pool") -> dict[UUID, str]:
    rows = await db.fetch("select contact_id, state from dunning_holds")
    return {row["contact_id"]: row["state"] for row in rows}


async def test_contacts_are_held_once_and_strangers_are_not(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    other = await insert_contact(db, tenant.tenant_id)
    both = [contact_id, other, uuid4()]

    for _ in range(2):
        count = await hold(db, tenant.tenant_id, both, state="paused", reason="asked to", since=NOW)
        assert count == 2

    assert await held(db) == {contact_id: "paused", other: "paused"}
    assert await hold(db, uuid4(), both, state="stopped", reason=None, since=NOW) == 0
    assert await held(db) == {contact_id: "paused", other: "paused"}


async def test_a_stop_outlives_a_pause(db: "Pool", tenant: Tenant, contact_id: UUID) -> None:
    async def hold_as(state: str, until: date | None = None) -> int:
        return await hold(
            db,
            tenant.tenant_id,
            [contact_id],
            state=state,
            reason=None,
            since=NOW,
            until=until,
        )

    assert await hold_as("paused", (NOW + timedelta(days=3)).date()) == 1
    assert await hold_as("stopped") == 1
    assert await hold_as("paused") == 0
    assert await held(db) == {contact_id: "stopped"}


async def test_only_such_holds_are_lifted(db: "Pool", tenant: Tenant, contact_id: UUID) -> None:
    await hold(db, tenant.tenant_id, [contact_id], state="stopped", reason=None, since=NOW)

    assert await lift(db, tenant.tenant_id, [contact_id], state="paused") == 0
    assert await lift(db, uuid4(), [contact_id], state="stopped") == 0
    assert await lift(db, tenant.tenant_id, [contact_id], state="stopped") == 1
    assert await held(db) == {}
