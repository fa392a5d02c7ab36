from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.nurture.start_sequence import start_sequence
from tests.conftest import Tenant
from tests.jobs.nurture.running import start
from tests.jobs.nurture.world import (
    Stage,
    add_contact,
    add_sequence,
    steps_after,
    suppress,
)

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_who_may_be_written_to_begins_and_the_others_are_counted(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    tenant_id = tenant.tenant_id
    willing = await add_contact(db, tenant_id)
    unwilling = await add_contact(db, tenant_id, by_email=False)
    nowhere = await add_contact(db, tenant_id, email=None)
    gone = await add_contact(db, tenant_id, email="gone@example.org")
    await suppress(db, tenant_id, "email", "gone@example.org", "bounced", stage.rig.clock())
    await add_sequence(db, tenant_id, steps_after(1))

    counts = await start(
        stage.rig, tenant, "welcome", willing, willing, unwilling, nowhere, gone, uuid4()
    )

    assert counts == {"started": 1, "in_it": 0, "left_out": 4}
    assert len(await stage.collect()) == 1


async def test_who_is_in_it_stays_where_they_are(db: "Db", stage: Stage, tenant: Tenant) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 5))
    await start(stage.rig, tenant, sequence, contact)
    await stage.pass_time(days=1)

    counts = await start(stage.rig, tenant, sequence, contact)

    assert counts == {"started": 0, "in_it": 1, "left_out": 0}
    assert len(stage.rig.mails) == 1
    assert len(await stage.collect()) == 1


async def test_the_same_run_again_begins_with_nobody_for_a_second_time(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    """It was over for them, by the time that its worker's death was noticed."""
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0))
    payload = {
        "orgId": str(tenant.tenant_id),
        "contactIds": [str(contact)],
        "sequence": str(sequence),
    }

    for _ in range(2):
        (await stage.rig.run(start_sequence, payload, run_id="the-run")).succeeded()
        await stage.run_due()
    assert len(stage.rig.mails) == 1
    (await stage.rig.run(start_sequence, payload, run_id="another")).succeeded()
    await stage.run_due()

    assert len(stage.rig.mails) == 2


async def test_an_inactive_sequence_takes_nobody(db: "Db", stage: Stage, tenant: Tenant) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0))
    await db.execute("update sequences set is_active = false")
    payload = {
        "tenant_id": str(tenant.tenant_id),
        "contact_ids": [str(contact)],
        "sequence": str(sequence),
    }

    assert "not active" in (await stage.rig.run(start_sequence, payload)).cancelled()
    assert await db.fetchval("select count(*) from enrolments") == 0


async def test_another_tenants_contacts_and_sequences_are_not_there(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    other = uuid4()
    await db.execute(
        "insert into tenants (tenant_id, name, locale, timezone) values ($1, 'X', 'en', 'UTC')",
        other,
    )
    contact = await add_contact(db, other)
    await add_sequence(db, tenant.tenant_id, steps_after(0))

    assert (await start(stage.rig, tenant, "welcome", contact))["left_out"] == 1
    payload = {"tenant_id": str(other), "contact_ids": [str(contact)], "sequence": "welcome"}
    assert "no such sequence" in (await stage.rig.run(start_sequence, payload)).cancelled()
