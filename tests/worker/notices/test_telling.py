"""From failing runs to one mail and one webhook, with real workers, a real relay and receiver."""

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from clients import webhook
from jobs.kit import JobContext, Payload, Retry, job
from tests.clients.stand_ins.smtp_relay import SmtpRelay
from tests.clients.stand_ins.webhook_receiver import Receiver
from tests.worker.conftest import StartWorker, until
from tests.worker.notices.conftest import OPS, Scene
from tests.worker.trouble_servers import MortalPostgres
from worker.ending import State
from worker.engine.worker import Worker
from worker.enqueuer import Pool
from worker.migrate import migrate
from worker.notices.build import channels_of
from worker.notices.telling import Channels
from worker.notices.watch import Watch
from worker.pausing import pause_queue

Db = asyncpg.Pool
Alerting = Callable[..., dict[str, Any]]
PERSONAL = "ayse.isik@anadolu.example"


class Parcel(Payload):
    number: int
    email: str = PERSONAL


@job("testing.lose_parcel", queue="default", retry=Retry(attempts=1), sensitive=("email",))
async def lose_parcel(ctx: JobContext, payload: Parcel) -> None:
    raise ValueError(f"nobody called {payload.email} lives here")


@job("testing.wait_for_sync", queue="sync")
async def wait(ctx: JobContext, payload: Parcel) -> None:
    raise AssertionError("nobody runs this")


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


async def test_a_receiver_that_hangs_gets_the_event_when_it_is_well(
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
    failed = "select error_type from job_attempts where outcome = 'retrying'"
    assert await until(lambda: db.fetchval(failed)) == "DeliveryUnknownError"
    assert receiver.events == []

    receiver.hangs = False
    await until(lambda: asyncio.sleep(0.01, receiver.events), within=30)  # some 5 s later

    ids = {headers["webhook-id"] for headers in receiver.requests}
    assert len(ids) == len(receiver.events) == 1
    await until(lambda: db.fetchval("select status = 'sent' from deliveries"))


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers look by themselves, and need not wait."""
    monkeypatch.setattr("worker.notices.watch._EVERY", 0.1)
    monkeypatch.setattr("worker.notices.watch._FAILURES_EVERY", timedelta(seconds=0.1))
    monkeypatch.setattr("worker.notices.watch._QUEUES_EVERY", timedelta(seconds=0.1))


@pytest.mark.usefixtures("_often")
async def test_workers_look_by_themselves_and_tell_of_queues_once(
    start_worker: StartWorker,
    alerting: Alerting,
    pool: Pool,
    db: Db,
    relay: SmtpRelay,
    receiver: Receiver,
) -> None:
    """Nobody claims from a queue that is paused."""
    await pause_queue(pool, "sync")
    for number in range(5):
        await pool.enqueue_job(wait.name, {"number": number})

    for _ in "12":
        await start_worker(
            **alerting(alert_waiting=4, alert_unserved=False, worker_queues="default,sync")
        )
    await until(lambda: both(relay, receiver))
    await asyncio.sleep(1)

    assert [event["data"]["kind"] for event in receiver.events] == ["waiting"]
    assert receiver.events[0]["data"]["queue"] == "sync"
    assert len(relay.messages) == 1
    assert await db.fetchval("select count(*) from notices where opened_at is not null") == 1


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[MortalPostgres]:
    """Durable, migrated, and the test's own."""
    server = MortalPostgres(tmp_path / "postgres")
    asyncio.run(migrate(server.url))
    yield server
    server.stop()


@pytest.mark.usefixtures("_often")
@pytest.mark.timeout(120)
async def test_failures_while_postgresql_is_away_are_told_when_it_is_back(
    postgres: MortalPostgres,
    start_worker: StartWorker,
    alerting: Alerting,
    pool: Pool,
    receiver: Receiver,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worker = await start_worker(database_url=postgres.url, **alerting(alert_email=""))
    postgres.die()
    await pool.enqueue_many(lose_parcel.name, [{"number": number} for number in range(40)])

    async def have_failed() -> bool:
        assert worker.engine is not None
        return worker.engine.hands.ended.get(State.DEAD) == 40

    await until(have_failed)
    await asyncio.sleep(1)
    postgres.come_back()

    await until(lambda: asyncio.sleep(0.01, receiver.events), within=60)
    connection = await until(lambda: connected(postgres.url))
    total = "select sum(count) from notices"
    await until(lambda: counted(connection, total, 40), within=30)
    await connection.close()
    assert len(receiver.events) == 1
    assert capsys.readouterr().out.count("Notices wait") == 1


async def counted(connection: "asyncpg.Connection[asyncpg.Record]", sql: str, number: int) -> bool:
    return bool(await connection.fetchval(sql) == number)


async def connected(url: str) -> "asyncpg.Connection[asyncpg.Record] | None":
    try:
        return await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError):
        return None


@pytest.mark.usefixtures("_often")
async def test_a_notice_that_nobody_takes_raises_no_notice(
    start_worker: StartWorker, alerting: Alerting, pool: Pool, db: Db, relay: SmtpRelay
) -> None:
    relay.trouble["RCPT"] = "550 5.1.1 no such admin"
    await start_worker(
        **alerting(alert_failures=1, alert_webhook_url=None, alert_webhook_secret=None)
    )
    await lose(pool, db, 1)
    await until(lambda: db.fetchval("select count(*) > 0 from dead_letters where job like 'oper%'"))
    await asyncio.sleep(1)

    # That runs waited while the worker started is another matter.
    notices = await db.fetch("select job, edition from notices where kind = 'failures'")
    assert [tuple(row) for row in notices] == [("testing.lose_parcel", 1)]


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
