from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from jobs.dunning.core.links import payment_link
from jobs.kit import discover
from worker.demo import queries
from worker.demo.dunning import ask_debtor, debtor_of
from worker.demo.tenants import TENANTS, DemoTenant
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

IDS = [tenant.locale for tenant in TENANTS]


@pytest.mark.parametrize("tenant", TENANTS, ids=IDS)
async def test_each_tenant_has_somebody_to_ask_once(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: DemoTenant
) -> None:
    await queries.load_tenant(db, tenant)
    with Rig(db=db) as rig:
        today = rig.clock().date()

        async def run(job: str, payload: dict[str, Any]) -> Any:
            started = (await rig.run(job, payload)).succeeded()
            for waiting in await rig.enqueued():
                await rig.run(waiting.job, waiting.payload)
            return started

        counts = [await ask_debtor(db, tenant, today, run) for _ in range(2)]

    assert counts[0] == 1
    assert await db.fetchval("select count(*) from invoices") == 1
    assert await db.fetchval("select count(*) from contacts") == 1


@pytest.mark.parametrize("tenant", TENANTS, ids=IDS)
def test_debtors_are_overdue_and_made_up(tenant: DemoTenant) -> None:
    today = date(2026, 12, 3)
    debtor = debtor_of(tenant, today)

    assert (today - debtor.due_on).days == 12
    assert debtor.email.endswith(".example")
    assert payment_link(debtor.payment_link, [debtor.payment_host]) == debtor.payment_link
    assert "dunning.start_dunning" in discover()
