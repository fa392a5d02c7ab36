"""What is asked of sequences and dunning is done in the order in which it was asked for."""

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.conftest import Tenant
from tests.jobs.dunning.rows import insert_contact
from tests.jobs.nurture.world import add_sequence, steps_after
from tests.worker.conftest import Ledgered, StartWorker

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

CONTACTS = 300  # some pages of them
ROUNDS = 3
pytestmark = pytest.mark.timeout(300)


async def ask(
    http: httpx.AsyncClient, what: str, tenant: Tenant, contacts: list[UUID], **fields: Any
) -> str:
    body = {"tenant_id": str(tenant.tenant_id), "contact_ids": [*map(str, contacts)], **fields}
    answered = await http.post(f"/sequences/{what}", json=body)
    assert answered.status_code == 202, answered.text
    run_id: str = answered.json()["run_id"]
    return run_id


async def many_contacts(db: "Db", tenant: Tenant) -> list[UUID]:
    found = await db.fetch(
        """
        insert into contacts (tenant_id, contact_id, full_name, email, marketing_by_email)
        select $1, gen_random_uuid(), 'Deniz', number || '@example.org', true
          from generate_series(1, $2) as number
        returning contact_id
        """,
        tenant.tenant_id,
        CONTACTS,
    )
    return [row["contact_id"] for row in found]


async def test_who_is_stopped_after_they_were_started_is_out(
    http: httpx.AsyncClient,
    db: "Db",
    tenant: Tenant,
    start_worker: StartWorker,
    ledgered: Ledgered,
) -> None:
    contacts = await many_contacts(db, tenant)
    await start_worker(queue_concurrency={"nurture": 5})

    for number in range(ROUNDS):
        sequence = str(
            await add_sequence(db, tenant.tenant_id, steps_after(3), name=f"welcome {number}")
        )
        await ask(http, "nurture/start", tenant, contacts, sequence=sequence)
        stopping = await ask(http, "nurture/stop", tenant, contacts, sequence=sequence)
        await ledgered.run(stopping, state="succeeded")

    states = await db.fetch("select state, count(*) from enrolments group by state")
    assert [(row["state"], row["count"]) for row in states] == [("ended", ROUNDS * CONTACTS)]


async def test_who_is_resumed_after_they_were_paused_goes_on(
    http: httpx.AsyncClient,
    db: "Db",
    tenant: Tenant,
    start_worker: StartWorker,
    ledgered: Ledgered,
) -> None:
    contacts = await many_contacts(db, tenant)
    await start_worker(queue_concurrency={"dunning": 5})

    for one in contacts[:ROUNDS]:
        await ask(http, "dunning/pause", tenant, contacts)
        resuming = await ask(http, "dunning/resume", tenant, [one])
        await ledgered.run(resuming, state="succeeded")

        paused = await db.fetch("select contact_id from dunning_holds where state = 'paused'")
        assert {row["contact_id"] for row in paused} == {*contacts} - {one}


async def test_a_pause_that_is_tried_again_is_not_done_after_the_resuming(
    http: httpx.AsyncClient,
    db: "Db",
    tenant: Tenant,
    start_worker: StartWorker,
    ledgered: Ledgered,
) -> None:
    contact = await insert_contact(db, tenant.tenant_id, contact_id=uuid4())
    await start_worker(queue_concurrency={"dunning": 5})
    await db.execute("alter table dunning_holds rename to away")
    pausing = await ask(http, "dunning/pause", tenant, [contact])
    await ledgered.run(pausing, state="retrying")

    resuming = await ask(http, "dunning/resume", tenant, [contact])
    await db.execute("alter table away rename to dunning_holds")
    resumed = await ledgered.run(resuming, state="succeeded")

    paused = await ledgered.run(pausing, state="succeeded")
    assert paused["attempt"] == 2
    assert paused["finished_at"] <= resumed["started_at"]
    assert await db.fetch("select * from dunning_holds") == []


async def test_one_that_is_given_up_on_keeps_none_waiting(
    http: httpx.AsyncClient,
    db: "Db",
    tenant: Tenant,
    start_worker: StartWorker,
    ledgered: Ledgered,
) -> None:
    contact = await insert_contact(db, tenant.tenant_id, contact_id=uuid4())
    await start_worker(queue_concurrency={"dunning": 5}, queue_attempts={"dunning": 1})
    await db.execute("alter table dunning_holds rename to away")
    pausing = await ask(http, "dunning/pause", tenant, [contact])
    await ledgered.dead_letter(pausing)

    await db.execute("alter table away rename to dunning_holds")
    stopping = await ask(http, "dunning/stop", tenant, [contact])

    await ledgered.run(stopping, state="succeeded")
    assert await db.fetchval("select state from dunning_holds") == "stopped"
