"""From failing runs to one mail and one webhook, with real workers, a real relay and receiver."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from clients import webhook
from jobs.kit import JobContext, Payload, Retry, job
from tests.clients.stand_ins.smtp_relay import SmtpRelay
from tests.clients.stand_ins.webhook_receiver import Receiver
from tests.worker.conftest import StartWorker, until
from tests.worker.notices.conftest import OPS, Scene
from worker.engine.worker import Worker
from worker.enqueuer import Pool
from worker.notices.build import channels_of
from worker.notices.telling import Channels
from worker.notices.watch import Watch

Db = asyncpg.Pool
Alerting = Callable[..., dict[str, Any]]
PERSONAL = "ayse.isik@anadolu.example"


class Parcel(Payload):
    number: int
    email: str = PERSONAL


@job("testing.lose_parcel", queue="default", retry=Retry(attempts=1), sensitive=("email",))
async def lose_parcel(ctx: JobContext, payload: Parcel) -> None:
    raise ValueError(f"nobody called {payload.email} lives here")


async def look(worker: Worker) -> None:
    """As its own watch would, some seconds later."""
    runtime = worker.ctx["runtime"]
    settings = runtime.resources.settings
    watch = Watch(
        runtime.resources.db,
        settings.notice_rules,
        channels_of(settings),
        queues=None,
        counted=runtime.metrics.notices.told,
    )
    await watch.look_at_failures()


async def lose(pool: Pool, db: Db, number: int) -> None:
    """So many runs fail, and history knows."""
    await pool.enqueue_many(lose_parcel.name, [{"number": one} for one in range(number)])
    counted = "select sum(failures) >= $1 from failure_minutes"
    await until(lambda: db.fetchval(counted, number), within=40)


async def test_three_hundred_failures_are_one_mail_and_one_event(
    start_worker: StartWorker,
    alerting: Alerting,
    pool: Pool,
    db: Db,
    relay: SmtpRelay,
    receiver: Receiver,
) -> None:
    workers = [await start_worker(**alerting(public_url="https://jobs.example.com")) for _ in "12"]
    await lose(pool, db, 300)

    await asyncio.gather(*(look(worker) for worker in workers))
    await until(lambda: both(relay, receiver))
    await asyncio.gather(*(look(worker) for worker in workers))
    await asyncio.sleep(1)

    (message,), (event,) = relay.messages, receiver.events
    assert relay.recipients == [OPS]
    assert message["Subject"] == (
        "worker-service: testing.lose_parcel failed 300 times (ValueError)"
    )
    assert event["type"] == "notice.opened"
    assert event["data"] == event["data"] | {
        "kind": "failures",
        "job": "testing.lose_parcel",
        "error_type": "ValueError",
        "count": 300,
        "dead": 300,
        "link": "https://jobs.example.com/api/v1/runs?job=testing.lose_parcel&state=dead",
    }
    assert PERSONAL not in str(event) + message.as_string()
    assert "lives here" not in str(event) + message.as_string()
    rows = await db.fetch("select channel, status, template from deliveries order by channel")
    assert [tuple(row) for row in rows] == [
        ("email", "sent", "admin-notice"),
        ("webhook", "sent", "notice.opened"),
    ]


async def both(relay: SmtpRelay, receiver: Receiver) -> bool:
    return bool(relay.messages and receiver.events)


async def test_a_receiver_that_hangs_and_fails_gets_the_event_when_it_is_well(
    start_worker: StartWorker,
    alerting: Alerting,
    pool: Pool,
    db: Db,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "_PATIENCE", 0.3)
    receiver.hangs = True
    worker = await start_worker(**alerting(alert_email=""))
    await lose(pool, db, 5)
    await look(worker)
    await until(lambda: asyncio.sleep(0, len(receiver.requests) >= 1))
    assert receiver.events == []

    receiver.hangs = False
    await retry_now(db, pool)
    await until(lambda: asyncio.sleep(0, receiver.events), within=30)

    ids = {headers["webhook-id"] for headers in receiver.requests}
    assert len(ids) == len(receiver.events) == 1
    await until(lambda: db.fetchval("select status = 'sent' from deliveries"))


async def retry_now(db: Db, pool: Pool) -> None:
    """Whatever waits for its next attempt need not."""

    async def waiting() -> bool:
        later = await pool.zrange("arq:queue", 0, -1)
        for run_id in later:
            await pool.zadd("arq:queue", {run_id: 1}, xx=True)
        return bool(later)

    await until(waiting)


async def test_nothing_set_is_told_in_the_log_alone(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.channels = Channels()
    await scene.fail(300)

    await scene.look()
    await scene.look()

    told = capsys.readouterr().out
    assert len(re.findall("Runs fail again and again", told)) == 1
    assert (await scene.notice()).count == 300
    assert await scene.db.fetchval("select count(*) from outbox") == 0
