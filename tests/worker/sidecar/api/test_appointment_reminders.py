"""The worker of appointment reminders, from the call that starts it to what arrives."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
import trustme

from tests.clients.stand_ins.smtp_relay import SmtpRelay, smtp_relay
from tests.clients.stand_ins.twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    FROM,
    TwilioServer,
    twilio_server,
)
from tests.conftest import MakeSettings, Tenant
from tests.jobs.reminders.appointments import insert_appointment, insert_contact, sent_at
from tests.worker.conftest import StartWorker, until
from tests.worker.sidecar.api.conftest import code_of
from worker.clock import utc_now
from worker.schedules import declare, plans_of

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Outside:
    relay: SmtpRelay
    twilio: TwilioServer


@pytest.fixture
async def outside(start_worker: StartWorker) -> AsyncIterator[Outside]:
    """A worker whose messages leave for a mail relay and for Twilio."""
    async with (
        smtp_relay(trustme.CA(), security="none", has_auth=False) as relay,
        twilio_server() as twilio,
    ):
        await start_worker(
            email_provider="smtp",
            smtp_host="127.0.0.1",
            smtp_port=relay.port,
            smtp_security="none",
            sms_provider="twilio",
            twilio_account_sid=ACCOUNT_SID,
            twilio_auth_token=AUTH_TOKEN,
            twilio_from=FROM,
            twilio_url=twilio.url,
        )
        yield Outside(relay, twilio)


@pytest.fixture
async def salon(db: "Db", tenant: Tenant) -> UUID:
    """A tenant whose customers' telephones may ring at any time: these tests run at any."""
    await db.execute(
        "insert into messaging_profiles (tenant_id, country, quiet_from, quiet_to)"
        " values ($1, 'TR', '00:00', '00:00')",
        tenant.tenant_id,
    )
    return tenant.tenant_id


async def test_should_send_reminders_for_upcoming_appointments(
    http: httpx.AsyncClient, outside: Outside, db: "Db", salon: UUID
) -> None:
    by_both = await insert_contact(db, salon, email="zeynep@musteri.example")
    by_sms = await insert_contact(
        db, salon, phone="0532 765 43 21", email="mert@musteri.example", preferred_channel="sms"
    )
    by_none = await insert_contact(db, salon, reminders_by_email=False, reminders_by_sms=False)
    now = utc_now()
    tomorrow = await insert_appointment(db, salon, by_both, now + 23.5 * HOUR)
    soon = await insert_appointment(db, salon, by_sms, now + 2.5 * HOUR)
    unwanted = await insert_appointment(db, salon, by_none, now + 2.5 * HOUR)
    for start, status in ((5, "confirmed"), (23.5, "cancelled"), (2.5, "requested")):
        await insert_appointment(db, salon, by_both, now + start * HOUR, status=status)

    reply = await http.post("/workers/appointment-reminder/trigger")

    assert reply.status_code == 202

    async def all_sent() -> bool:
        fields = [*(await sent_at(db, tomorrow)).values(), *(await sent_at(db, soon)).values()]
        # A field is set with the first message of its reminder; the other one may be under way.
        left = (len(outside.twilio.messages), len(outside.relay.messages))
        return left == (2, 1) and [one is not None for one in fields] == [
            True, False, False, True,
        ]  # fmt: skip

    assert await until(all_sent)
    (mail,) = outside.relay.messages
    assert outside.relay.recipients == ["zeynep@musteri.example"]
    assert "Hatırlatma: randevunuz" in mail["Subject"]
    bodies = {sms["to"]: sms["body"] for sms in outside.twilio.messages}
    assert set(bodies) == {"+905321234567", "+905327654321"}
    assert all("Randevunuz" in body for body in bodies.values())
    assert set((await sent_at(db, unwanted)).values()) == {None}


async def test_the_scan_is_started_once_at_a_time(
    http: httpx.AsyncClient, start_worker: StartWorker, db: "Db", make_settings: MakeSettings
) -> None:
    await declare(db, plans_of(make_settings()))
    first = await http.post("/workers/appointment-reminder/trigger")
    second = await http.post("/workers/appointment-reminder/trigger")

    assert (first.status_code, first.json()["message"]) == (
        202,
        "AppointmentReminderWorker started",
    )
    assert (second.status_code, code_of(second)) == (409, "running")
    assert second.json()["error"]["fields"] == {"run_id": first.json()["run_id"]}

    await start_worker()

    async def is_over() -> bool:
        (one, *_) = (await http.get("/workers/health")).json()["workers"]
        assert one["name"] == "AppointmentReminderWorker"
        return not one["isRunning"] and (one["last_run"] or {}).get("state") == "succeeded"

    assert await until(is_over)
    assert (await http.post("/workers/appointment-reminder/trigger")).status_code == 202
