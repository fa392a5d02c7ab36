"""What became of messages is shown, by channel: nobody's address is in it."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.conftest import Tenant
from tests.jobs.dunning.rows import insert_contact, insert_invoice, insert_profile
from tests.jobs.nurture.world import BOOKING, add_contact
from tests.worker.conftest import Ledgered, StartWorker
from tests.worker.sidecar.api.conftest import CREDENTIALS, Serve, bearer, token
from worker.enqueuer import Pool

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

BY_MAIL = [{"channel": "email", "status": "sent"}]


async def test_viewers_see_what_became_of_messages_by_channel(
    serve: Serve,
    db: "Db",
    pool: Pool,
    tenant: Tenant,
    start_worker: StartWorker,
    ledgered: Ledgered,
) -> None:
    tenant_id = tenant.tenant_id
    await insert_profile(db, tenant_id)
    debtor = await insert_contact(db, tenant_id, email="debtor@musteri.example", phone=None)
    due_on = datetime.now(UTC).date() - timedelta(days=12)
    invoice_id = await insert_invoice(db, tenant_id, debtor, due_on=due_on)
    lead = await add_contact(db, tenant_id, email="lead@musteri.example")
    payloads: dict[str, dict[str, Any]] = {
        "dunning.send_payment_reminder": {
            "contact_id": str(debtor), "invoice_id": str(invoice_id), "step": 2,
        },
        "nurture.send_step": {
            "contact_id": str(lead), "sequence_step": 1, "template": "nurture_welcome",
            "personalization": BOOKING,
        },
    }  # fmt: skip
    await start_worker()
    http = await serve(**CREDENTIALS)

    for job, payload in payloads.items():
        run = await pool.enqueue_job(job, {"tenant_id": str(tenant_id), **payload})
        assert run is not None
        await ledgered.run(run.job_id, state="succeeded")
        shown = (await http.get(f"/runs/{run.job_id}", headers=bearer(token("viewer")))).json()

        assert shown["result"]["value"]["results"] == BY_MAIL
        assert "musteri.example" not in str(shown)
