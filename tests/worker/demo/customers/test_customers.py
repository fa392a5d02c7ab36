from typing import TYPE_CHECKING, Any

import pytest

from tests.worker.conftest import StartWorker
from worker.clock import utc_now
from worker.demo import queries
from worker.demo.customers import Customers
from worker.demo.tenants import TENANTS, DemoTenant
from worker.enqueuer import Pool, known_job

if TYPE_CHECKING:
    import asyncpg


@pytest.mark.parametrize("tenant", TENANTS, ids=lambda tenant: str(tenant.locale))
async def test_each_customer_is_written_to_once(
    db: "asyncpg.Pool[asyncpg.Record]", pool: Pool, start_worker: StartWorker, tenant: DemoTenant
) -> None:
    await queries.load_tenant(db, tenant)
    await start_worker()

    async def run(name: str, payload: dict[str, Any]) -> Any:
        job = known_job(name)
        started = await pool.enqueue(job, job.validate(payload))
        return await pool.handle(started.run_id, job).result(timeout=20, poll_delay=0.05)

    customers = Customers(db, run, tenant, utc_now())
    first, second = [await customers.write() for _ in range(2)]

    assert first == ["sequence sent", "appointment sent", "payment reminder sent"]
    assert second == [line.replace("sent", "already_sent") for line in first]
    sent = await db.fetch(
        "select template, channel from deliveries where status = 'sent' order by template, channel"
    )
    assert [tuple(row) for row in sent] == [
        ("appointment-reminder", "email"),
        ("appointment-reminder", "sms"),
        ("nurture-welcome", "email"),
        ("payment-reminder", "email"),
    ]
