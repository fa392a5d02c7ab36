from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from clients.local_storage import LocalStorage
from jobs.kit import PayloadError
from jobs.messaging.attachments import LARGEST
from jobs.messaging.limits import MAIL_LIMITS
from jobs.messaging.send_report import send_report
from tests.conftest import Tenant
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def payload(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant_id": str(tenant.tenant_id),
        "email": "Ayse@anadolu.example",
        "report_key": f"reports/{tenant.tenant_id}/analytics/a.pdf",
        "title": "Haftalık özet",
        "period_from": "2026-11-16",
        "period_to": "2026-11-22",
        "language": "tr",
        "timezone": "Europe/Istanbul",
        "report_schedule_id": str(uuid4()),
    }


async def test_the_report_arrives_byte_for_byte(rig: Rig, payload: dict[str, Any]) -> None:
    content = bytes(range(256)) * 1000
    await rig.storage.put(payload["report_key"], content)

    (await rig.run(send_report, payload)).succeeded()

    (sent,) = rig.mails
    (file,) = sent.mail.attachments
    assert (sent.mail.to, sent.mail.subject) == (payload["email"], "Rapor: Haftalık özet")
    assert (file.filename, file.content_type, file.content) == (
        "Haftalık-özet-2026-11-16_2026-11-22.pdf",
        "application/pdf",
        content,
    )
    assert sent.mail.text.startswith("Merhaba,\n")
    for words in ("Dönem: 16–22 Kas 2026", f"Dosya: {file.filename}", "bu iletinin ekindedir"):
        assert words in sent.mail.text


async def test_each_recipient_gets_it_once_for_a_schedule_and_period(
    rig: Rig, db: "Db", payload: dict[str, Any]
) -> None:
    await rig.storage.put(payload["report_key"], b"1")
    other = f"{payload['report_key']}.csv"
    await rig.storage.put(other, b"2")

    statuses = [
        (await rig.run(send_report, {**payload, **changes})).succeeded().status
        for changes in (
            {},
            {"email": "ayse@ANADOLU.example"},
            {"report_key": other},  # the same, made once more
            {"email": "can@anadolu.example"},
            {"period_from": "2026-11-09", "period_to": "2026-11-15"},
            {"report_schedule_id": str(uuid4())},
            {"report_schedule_id": None},
            {"report_schedule_id": None},
            {"report_schedule_id": None, "report_key": other},
        )
    ]

    assert statuses == ["sent", *["already_sent"] * 2, *["sent"] * 4, "already_sent", "sent"]


async def test_who_is_no_user_has_a_way_out_of_their_own(
    rig: Rig, db: "Db", payload: dict[str, Any]
) -> None:
    await rig.storage.put(payload["report_key"], b"1")

    (await rig.run(send_report, payload)).succeeded()

    row = await db.fetchrow("select * from unsubscribe_links")
    assert row is not None
    assert (row["address"], row["locale"]) == ("ayse@anadolu.example", "tr")
    (sent,) = rig.mails
    assert sent.mail.unsubscribe_url == f"{rig.resources.links}/unsubscribe/{row['token']}"


async def test_who_has_unsubscribed_gets_nothing(
    rig: Rig, db: "Db", tenant: Tenant, payload: dict[str, Any]
) -> None:
    await rig.storage.put(payload["report_key"], b"1")
    await db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'email', 'ayse@anadolu.example', 'unsubscribed')",
        tenant.tenant_id,
    )

    assert (await rig.run(send_report, payload)).succeeded().status == "suppressed"
    assert rig.mails == []


async def test_one_that_is_too_large_is_told_where_it_is(rig: Rig, payload: dict[str, Any]) -> None:
    await rig.storage.put(payload["report_key"], bytes(LARGEST + 1))

    (await rig.run(send_report, payload)).succeeded()

    (sent,) = rig.mails
    assert sent.mail.attachments == ()
    assert f"çok büyük. Depolamanızdan sorumlu kişi onu şu adla bulur: {payload['report_key']}" in (
        sent.mail.text
    )


async def test_where_storage_has_links_one_that_is_too_large_has_one(
    db: "Db", tmp_path: Path, payload: dict[str, Any]
) -> None:
    storage = LocalStorage(tmp_path, secret=SecretStr("s" * 32), base_url="https://files.example")
    await storage.put(payload["report_key"], bytes(LARGEST + 1))

    with Rig(db=db, clock=Clock(NOW), storage=storage) as rig:
        (await rig.run(send_report, payload)).succeeded()
        (sent,) = rig.mails

    assert f"İndirin: https://files.example/files/{payload['report_key']}?" in sent.mail.text
    assert "30 Kasım 2026 09:00" in sent.mail.text  # seven days, in Istanbul
    assert sent.mail.attachments == ()


async def test_one_of_just_ten_megabytes_is_attached(rig: Rig, payload: dict[str, Any]) -> None:
    await rig.storage.put(payload["report_key"], bytes(LARGEST))

    (await rig.run(send_report, payload)).succeeded()

    assert [len(file.content) for file in rig.mails[0].mail.attachments] == [LARGEST]


async def test_one_that_is_not_there_yet_is_waited_for(rig: Rig, payload: dict[str, Any]) -> None:
    assert (await rig.run(send_report, payload)).retrying() >= timedelta(seconds=5)
    assert rig.mails == []


@pytest.mark.parametrize("name", ["report", "weekly-report", "email.send_report"])
async def test_the_older_services_names_are_read_as_ours(
    rig: Rig, tenant: Tenant, payload: dict[str, Any], name: str
) -> None:
    await rig.storage.put(payload["report_key"], b"1")
    old = {
        "orgId": str(tenant.tenant_id),
        "email": payload["email"],
        "reportKey": payload["report_key"],
        "title": payload["title"],
        "periodFrom": "2026-11-16",
        "periodTo": "2026-11-22",
    }

    (await rig.run(name, old)).succeeded()

    assert rig.mails[0].mail.subject == "Report: Haftalık özet"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("email", "a@b.example\r\nBcc: c@d.example"),
        ("report_key", "reports/9c2f6a3e-2222-4444-8888-000000000000/theirs.pdf"),
        ("title", ""),
        ("timezone", "Mars/Olympus"),
        ("language", "de"),
        ("period_to", "2026-11-15"),
    ],
)
def test_a_payload_that_does_not_fit_names_its_field(
    payload: dict[str, Any], field: str, value: object
) -> None:
    with pytest.raises(PayloadError, match=field) as error:
        send_report.validate({**payload, field: value})

    assert "theirs" not in str(error.value)


def test_addresses_are_never_shown_and_limits_kept() -> None:
    assert send_report.sensitive == {"email"}
    assert (send_report.queue, send_report.controls.rate_limits) == ("email", MAIL_LIMITS)
