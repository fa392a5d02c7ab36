"""A reminder through a real worker and a real relay, with workers that are killed in the middle."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import trustme
from aiosmtpd.smtp import AuthResult
from arq.jobs import Job

from clients.local_storage import LocalStorage
from tests.clients.stand_ins.smtp_relay import PASSWORD, USERNAME, SmtpRelay, smtp_relay
from tests.conftest import User
from tests.jobs.email.notices import insert_notice
from tests.worker.conftest import Ledgered, until
from worker.clock import utc_now
from worker.codec import loads
from worker.dead_letters import replay
from worker.enqueuer import Pool

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

REMINDER = "email.send_opportunity_reminder"
WAITING = """
    from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
                            and query like '%update deliveries set status = ''sent''%'
"""
TITLE = "Çatı onarımı ve güçlendirme: ığüşöç İĞÜŞÖÇ"


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[SmtpRelay]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with smtp_relay(authority) as relay:
        yield relay


class StartProcess(Protocol):
    def __call__(self) -> "Popen[bytes]": ...


@pytest.fixture
def start(
    relay: SmtpRelay, database_url: str, redis_url: str, tmp_path: Path
) -> Iterator[StartProcess]:
    """`arq worker.main.WorkerSettings` as in production, with mail over the relay."""
    settings = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "VAR_DIR": str(tmp_path / "var"),
        "PORT": "0",
        "RUN_LEASE": "3",
        "EMAIL_PROVIDER": "smtp",
        "EMAIL_FROM": "Ofis Yardımcısı <alerts@ours.example>",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(relay.port),
        "SMTP_USERNAME": USERNAME,
        "SMTP_PASSWORD": PASSWORD,
        "SMTP_CA_FILE": str(tmp_path / "ca.pem"),
    }
    command = [sys.executable, "-m", "arq", "worker.main.WorkerSettings"]
    started: list[Popen[bytes]] = []

    def start() -> "Popen[bytes]":
        with (tmp_path / "log").open("ab") as log:
            started.append(subprocess.Popen(command, env=os.environ | settings, stdout=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
async def reminder(db: "Db", user: User) -> dict[str, Any]:
    """The payload of a reminder of one notice."""
    due_at = utc_now() + timedelta(days=9)
    await insert_notice(db, user.tenant_id, "soon", title=TITLE, response_due_at=due_at)
    return {
        "tenant_id": str(user.tenant_id),
        "user_id": str(user.user_id),
        "notice_ids": ["soon"],
    }


async def enqueue(pool: Pool, reminder: dict[str, Any], run_id: str) -> Job:
    job = await pool.enqueue_job(REMINDER, reminder, _job_id=run_id)
    assert job is not None
    return Job(job.job_id, pool, _queue_name="arq:queue:email", _deserializer=loads)


async def result(job: Job) -> dict[str, str]:
    value: dict[str, str] = await job.result(timeout=20, poll_delay=0.02)
    return value


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())


@pytest.mark.parametrize("run_ids", [("first", "second"), ("same", "same")])
async def test_a_reminder_that_is_enqueued_twice_is_one_mail(
    start: StartProcess,
    relay: SmtpRelay,
    pool: Pool,
    reminder: dict[str, Any],
    run_ids: tuple[str, str],
) -> None:
    start()
    statuses = []
    for run_id in run_ids:
        statuses.append((await result(await enqueue(pool, reminder, run_id)))["status"])
        await pool.delete(f"arq:result:{run_id}")

    assert statuses == ["sent", "already_sent"]
    assert len(relay.messages) == relay.logins == 1


async def test_the_mail_arrives_whole(
    start: StartProcess,
    relay: SmtpRelay,
    pool: Pool,
    reminder: dict[str, Any],
    user: User,
    tmp_path: Path,
) -> None:
    key, report = f"reports/{user.tenant_id}/Özet raporu.pdf", bytes(range(256)) * 900
    await LocalStorage(tmp_path / "var/storage").put(key, report)
    start()

    receipt = await result(await enqueue(pool, {**reminder, "report_key": key}, "run"))

    (mail,) = relay.messages
    assert relay.recipients == [user.email]
    assert mail["Message-ID"] == receipt["message_id"]
    assert mail["To"].addresses[0].display_name == "Ayşe Işık"
    assert mail["From"].addresses[0].display_name == "Iğdır Yapı A.Ş."
    assert mail["From"].addresses[0].addr_spec == "alerts@ours.example"
    assert mail["Subject"].startswith("Hatırlatma: 1 ihale, son teklif tarihi ")
    assert TITLE in part(mail, "plain")
    assert TITLE in part(mail, "html")
    (attachment,) = mail.iter_attachments()
    assert isinstance(attachment, EmailMessage)
    assert attachment.get_filename() == "Özet raporu.pdf"
    assert attachment.get_content() == report


class Killer:
    """Kills the worker at a moment of the conversation."""

    def __init__(self, relay: SmtpRelay, db: "Db", monkeypatch: pytest.MonkeyPatch) -> None:
        self._relay = relay
        self._db = db
        self._monkeypatch = monkeypatch
        self.worker: Popen[bytes] | None = None
        self._is_answered = asyncio.Event()

    def aim(self, worker: "Popen[bytes]", moment: str) -> None:
        self.worker = worker
        match moment:
            case "at the login":
                self._monkeypatch.setattr(self._relay, "authenticate", self._at_login)
            case "before the relay took the mail":
                self._relay.on_data, self._relay.trouble["DATA"] = self._in_data, "451 no room"
            case "before the relay answered":
                self._relay.on_data = self._in_data
            case "after the relay answered":
                self._relay.on_data = self._after_data

    def kill(self) -> None:
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait()

    def _at_login(self, *_: object) -> AuthResult:
        self.kill()
        return AuthResult(success=False, handled=False)

    async def _in_data(self, transport: asyncio.Transport) -> None:
        self.kill()

    async def _after_data(self, transport: asyncio.Transport) -> None:
        """Let the 250 go out, and kill the worker and its session when it wants to note it down."""
        is_locked = asyncio.Event()
        self._task = asyncio.create_task(self._kill_at_the_row(is_locked))
        await is_locked.wait()

    async def _kill_at_the_row(self, is_locked: asyncio.Event) -> None:
        async with self._db.acquire() as connection, connection.transaction():
            await connection.execute("select from deliveries for update")
            is_locked.set()
            await until(self._worker_waits)
            self.kill()
            # Its session would not notice, and would note it down as soon as it can.
            await self._db.execute(f"select pg_terminate_backend(pid) {WAITING}")

    async def _worker_waits(self) -> bool:
        return bool(await self._db.fetchval(f"select count(*) {WAITING}"))

    def disarm(self) -> None:
        self._monkeypatch.undo()
        self._relay.on_data = None
        self._relay.trouble.clear()

    async def is_done(self) -> bool:
        return self.worker is not None and self.worker.poll() is not None


@pytest.fixture
def killer(relay: SmtpRelay, db: "Db") -> Iterator[Killer]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Killer(relay, db, monkeypatch)


@pytest.mark.parametrize(
    ("moment", "mails"),
    [
        ("before the relay took the mail", 0),
        ("before the relay answered", 1),
        ("after the relay answered", 1),
    ],
)
async def test_a_mail_of_a_killed_worker_is_not_sent_twice_unless_a_person_says_so(
    start: StartProcess,
    relay: SmtpRelay,
    killer: Killer,
    pool: Pool,
    db: "Db",
    ledgered: Ledgered,
    reminder: dict[str, Any],
    moment: str,
    mails: int,
) -> None:
    killer.aim(start(), moment)
    await enqueue(pool, reminder, "run")
    await until(killer.is_done)
    killer.disarm()

    start()

    letter = await ledgered.dead_letter("run")
    assert (letter["reason"], letter["attempt"]) == ("rejected", 1)
    assert "the message may have been sent" in letter["error_message"]
    assert len(relay.messages) == mails

    await ledgered.run(await replay(db, pool, letter["dead_letter_id"]), state="succeeded")
    assert len(relay.messages) == mails + 1
    assert len({mail["Message-ID"] for mail in relay.messages}) == 1
    assert await db.fetchval("select status from deliveries") == "sent"


async def test_a_mail_that_was_not_handed_over_when_its_worker_was_killed_is_sent_by_another(
    start: StartProcess,
    relay: SmtpRelay,
    killer: Killer,
    pool: Pool,
    ledgered: Ledgered,
    reminder: dict[str, Any],
) -> None:
    killer.aim(start(), "at the login")
    await enqueue(pool, reminder, "run")
    await until(killer.is_done)
    killer.disarm()

    start()

    await ledgered.run("run", state="succeeded")
    assert len(relay.messages) == 1


async def test_a_second_run_does_not_send_what_a_killed_worker_may_have_sent(
    start: StartProcess,
    relay: SmtpRelay,
    killer: Killer,
    pool: Pool,
    ledgered: Ledgered,
    reminder: dict[str, Any],
) -> None:
    killer.aim(start(), "before the relay answered")
    await enqueue(pool, reminder, "run")
    await until(killer.is_done)
    killer.disarm()
    start()
    await ledgered.dead_letter("run")

    await enqueue(pool, reminder, "another")

    letter = await ledgered.dead_letter("another")
    assert "the message may have been sent" in letter["error_message"]
    assert len(relay.messages) == 1
