"""From a notice that came back to the next one, which arrives: a real worker does both."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from jobs.messaging.record_sendgrid_events import record_sendgrid_events
from jobs.operations.core import sample
from jobs.operations.send_notice_mail import NoticeMail, send_notice_mail
from tests.jobs.messaging.deliveries import event, sendgrid_payload, suppressed
from tests.worker.conftest import Ledgered, StartWorker
from tests.worker.sidecar.api.conftest import http as http  # noqa: PLC0414 - a fixture
from tests.worker.sidecar.api.conftest import serve as serve  # noqa: PLC0414 - what that needs
from tests.worker.test_cli import Cli
from tests.worker.test_cli import cli as cli  # noqa: PLC0414 - a fixture
from worker.deliveries import NOBODY
from worker.enqueuer import Pool

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

OPS = "ops@ours.example"
NOW = datetime.now(UTC)


async def tell(pool: Pool, ledgered: Ledgered, edition: int) -> None:
    """One notice by mail."""
    trouble = sample(NOW).model_copy(update={"edition": edition})
    mail = NoticeMail(
        to=OPS, language="en", timezone="UTC", service="s", environment="e", troubles=(trouble,)
    )
    told = await pool.enqueue(send_notice_mail, mail)
    await ledgered.run(told.run_id, state="succeeded")


async def hear(pool: Pool, ledgered: Ledgered, kind: str, message_id: str, **more: Any) -> None:
    """What SendGrid tells of it."""
    stamp = int(NOW.timestamp())
    payload = sendgrid_payload(event(kind, message_id=message_id, timestamp=stamp, **more))
    payload["received_at"] = (NOW + timedelta(hours=1)).isoformat()
    heard = await pool.enqueue(record_sendgrid_events, record_sendgrid_events.validate(payload))
    await ledgered.run(heard.run_id, state="succeeded")


async def message_ids(db: "Db") -> list[str]:
    rows = await db.fetch(
        "select message_id from deliveries where tenant_id = $1 and status = 'sent'"
        " order by claimed_at",
        NOBODY,
    )
    return [row["message_id"] for row in rows]


@pytest.mark.parametrize("kind", ["bounce", "spamreport"])
async def test_after_one_that_came_back_the_next_notice_arrives_and_somebody_hears_of_it(
    start_worker: StartWorker,
    pool: Pool,
    ledgered: Ledgered,
    db: "Db",
    http: httpx.AsyncClient,
    cli: Cli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    outcome = {"bounce": "bounced", "spamreport": "complained"}[kind]
    await start_worker(alert_email=OPS)
    await tell(pool, ledgered, 1)
    (first,) = await message_ids(db)

    await hear(pool, ledgered, kind, first, status="5.1.1")

    assert await suppressed(db) == set()
    log = capsys.readouterr().out
    assert "[WARNING] A notice to an admin came back" in log
    assert OPS not in log
    (item,) = (await http.get("/notices/undelivered")).json()["items"]
    assert (item["address"], item["outcome"], item["code"]) == (OPS, outcome, "5.1.1")
    assert (
        f"the last notice to {OPS} did not reach its reader: {outcome} (5.1.1)"
        in (await cli("notices")).stderr
    )

    await tell(pool, ledgered, 2)
    _, second = await message_ids(db)
    assert len([*tmp_path.glob("mail/**/*.eml")]) == 2
    await hear(pool, ledgered, "delivered", second)
    assert (await http.get("/notices/undelivered")).json()["items"] == []
