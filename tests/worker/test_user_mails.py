"""Mails to users through a real worker and a real relay, from an API to the mailbox."""

from collections.abc import AsyncIterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import trustme

from jobs.email.core.weeks import week_before
from tests.clients.stand_ins.smtp_relay import PASSWORD, USERNAME, SmtpRelay, smtp_relay
from tests.conftest import User
from tests.jobs.email.notices import insert_notice
from tests.jobs.email.rows import add_change, add_proposal, add_user
from tests.worker.conftest import StartWorker, until
from worker.clock import utc_now
from worker.enqueuer import Pool

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[SmtpRelay]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with smtp_relay(authority) as relay:
        yield relay


@pytest.fixture
def smtp(relay: SmtpRelay, tmp_path: Path) -> dict[str, Any]:
    """A worker's settings for it."""
    return {
        "email_provider": "smtp",
        "email_from": "alerts@ours.example",
        "smtp_host": "127.0.0.1",
        "smtp_port": relay.port,
        "smtp_username": USERNAME,
        "smtp_password": PASSWORD,
        "smtp_ca_file": tmp_path / "ca.pem",
    }


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


async def arrived(relay: SmtpRelay, number: int) -> dict[str, EmailMessage]:
    """So many mails, by their address."""

    async def are_there() -> bool:
        return len(relay.messages) >= number

    await until(are_there)
    mails = {mail["To"].addresses[0].addr_spec: mail for mail in relay.messages}
    assert len(mails) == len(relay.messages) == number
    return mails


async def test_a_change_of_a_proposal_reaches_its_team(
    db: "Db",
    pool: Pool,
    user: User,
    relay: SmtpRelay,
    smtp: dict[str, Any],
    start_worker: StartWorker,
) -> None:
    author = await add_user(db, user.tenant_id, full_name="Iğdır Şahin")
    await add_user(db, user.tenant_id)  # who is not on the team
    english = await add_user(
        db,
        user.tenant_id,
        email="pat@anadolu.example",
        locale="en",
        timezone="America/New_York",
    )
    gone = await add_user(db, user.tenant_id, email="gone@anadolu.example")
    await db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'email', 'gone@anadolu.example', 'unsubscribed')",
        user.tenant_id,
    )
    team = (user.user_id, author, english, gone)
    proposal_id = await add_proposal(db, user.tenant_id, team=team, title="Çatı <onarımı>")
    change_id = await add_change(db, user.tenant_id, proposal_id, "submitted", changed_by=author)
    await start_worker(**smtp)

    change = {"tenant_id": str(user.tenant_id), "change_id": str(change_id)}
    run = await pool.enqueue_job("email.notify_proposal_change", change)
    assert run is not None
    assert await run.result(timeout=20) == {"mails": 3}
    assert await pool.enqueue_job("email.notify_proposal_change", change) is None

    mails = await arrived(relay, 2)
    assert mails.keys() == {user.email, "pat@anadolu.example"}
    assert "Durum: Taslak -> Gönderildi" in text_of(mails[user.email])
    assert "Status: Draft -> Submitted" in text_of(mails["pat@anadolu.example"])
    assert "Changed by: Iğdır Şahin" in text_of(mails["pat@anadolu.example"])
    assert mails[user.email]["List-Unsubscribe"] is not None

    async def are_settled() -> bool:
        settled = await db.fetchval("select count(*) from deliveries where status <> 'sending'")
        return bool(settled == 3)

    await until(are_settled)
    assert len(relay.messages) == 2


async def test_what_the_older_services_enqueue_is_mailed(
    db: "Db",
    pool: Pool,
    user: User,
    relay: SmtpRelay,
    smtp: dict[str, Any],
    start_worker: StartWorker,
) -> None:
    week = week_before(utc_now().date() - timedelta(days=1))
    await insert_notice(db, user.tenant_id, "n1", response_due_at=utc_now() + timedelta(days=9))
    started_at = week.begins_at(ZoneInfo(user.timezone)) + timedelta(days=1)
    await add_proposal(db, user.tenant_id, created_at=started_at)
    who = {"orgId": str(user.tenant_id), "userId": str(user.user_id), "email": "old@old.example"}
    await start_worker(**smtp)

    statuses = []
    for kind, data in (
        ("welcome", {}),
        ("opportunity-reminder", {"opportunities": [{"noticeId": "n1"}]}),
        ("weekly-summary", {"week": str(week)}),
    ):
        run = await pool.add_job("email", kind, {"type": kind, "data": {**who, **data}})
        assert run is not None
        statuses.append((await run.result(timeout=20))["status"])

    assert statuses == ["sent"] * 3
    assert {mail["To"].addresses[0].addr_spec for mail in relay.messages} == {user.email}
    subjects = [str(mail["Subject"]) for mail in relay.messages]
    assert [subject.split(":")[0] for subject in subjects] == [
        "Iğdır Yapı A.Ş.",
        "Hatırlatma",
        "Iğdır Yapı A.Ş., haftanın özeti",
    ]
