"""From a message that leaves to what its provider tells of it: every part is real but theirs."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from clients.errors import DeliveryUnknownError
from clients.sendgrid import SendGrid, SendGridSettings
from clients.twilio import Twilio, TwilioSettings
from jobs.kit import Run
from tests.clients.mails import MAIL, SENDER
from tests.clients.stand_ins.control import Fault
from tests.clients.stand_ins.sendgrid import API_KEY, SendGridServer, sendgrid_server
from tests.clients.stand_ins.twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    FROM,
    TwilioServer,
    twilio_server,
)
from tests.clients.stand_ins.twilio_callbacks import SHARED_KEY
from tests.clients.texts import SMS
from tests.worker.conftest import StartWorker, until
from tests.worker.mailing import Counter
from tests.worker.sidecar.api.conftest import CREDENTIALS, Serve
from worker.deliveries import RecordedMailer, RecordedTexter

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Desk:
    """Both services, our webhooks, and a worker that records what they are told."""

    db: "Db"
    http: httpx.AsyncClient
    sendgrid: SendGridServer
    twilio: TwilioServer
    webhooks: str
    counter: Counter = field(default_factory=Counter)
    clock: Callable[[], datetime] = utc_now
    tenant_id: Any = field(default_factory=uuid4)

    def run(self) -> Run:
        return Run(
            run_id=uuid4().hex,
            job="messaging.send",
            queue="email",
            attempt=1,
            key="k",
            enqueued_at=utc_now(),
            correlation_id="c",
            tenant_id=self.tenant_id,
        )

    @property
    def mailer(self) -> RecordedMailer:
        settings = SendGridSettings(api_key=SecretStr(API_KEY), url=self.sendgrid.url, timeout=0.5)
        provider = SendGrid(settings, http=self.http, sender=SENDER, reports=True)
        return RecordedMailer(
            db=self.db, provider=provider, meter=self.counter, run=self.run(), clock=self.clock
        )

    @property
    def texter(self) -> RecordedTexter:
        settings = TwilioSettings(
            account_sid=ACCOUNT_SID,
            auth_token=SecretStr(AUTH_TOKEN),
            sender=FROM,
            status_callback=f"{self.webhooks}/twilio",
            url=self.twilio.url,
            timeout=0.5,
        )
        return RecordedTexter(
            db=self.db,
            provider=Twilio(settings, http=self.http),
            meter=self.counter,
            run=self.run(),
            clock=self.clock,
        )

    async def becomes(self, **columns: str | None) -> None:
        """Wait until the one delivery says so."""
        names = ", ".join(columns)

        async def says() -> bool:
            row = await self.db.fetchrow(f"select {names} from deliveries")  # noqa: S608 - own words
            return row is not None and dict(row) == columns

        await until(says)

    async def hears_of(self, events: int) -> None:
        """Wait until so many events are known, whatever came twice."""

        async def knows() -> bool:
            return bool(await self.db.fetchval("select count(*) = $1 from delivery_events", events))

        await until(knows)

    async def idle(self) -> None:
        """Until both services have told all they had to tell, and somebody took it."""
        await self.sendgrid.events.poster.idle()
        await self.twilio.callbacks.poster.idle()


@pytest.fixture
async def desk(db: "Db", serve: Serve, start_worker: StartWorker) -> AsyncIterator[Desk]:
    async with sendgrid_server() as sendgrid, twilio_server() as twilio:
        api = await serve(
            sendgrid_webhook_public_key=sendgrid.events.public_key,
            twilio_account_sid=ACCOUNT_SID,
            twilio_auth_token=AUTH_TOKEN,
            twilio_webhook_shared_key=SHARED_KEY,
            **CREDENTIALS,
        )
        webhooks = str(api.base_url.copy_with(path="/api/webhooks"))
        sendgrid.events.url = f"{webhooks}/sendgrid"
        sendgrid.events.copies, sendgrid.events.is_disordered = 2, True
        twilio.callbacks.inbound_url = f"{webhooks}/twilio"
        twilio.callbacks.is_telling = twilio.callbacks.is_disordered = True
        twilio.callbacks.copies = 2
        await start_worker()
        async with httpx.AsyncClient() as http:
            yield Desk(db, http, sendgrid, twilio, webhooks)


async def suppressions(db: "Db") -> set[tuple[str, str, str]]:
    rows = await db.fetch("select channel, address, reason from suppressions")
    return {(*row.values(),) for row in rows}


async def test_events_of_a_mail_end_in_its_row(desk: Desk) -> None:
    mail = replace(MAIL, to="spam@customer.example")

    receipt = await desk.mailer.send(mail, key="k")

    assert receipt.status == "sent"
    await desk.becomes(status="sent", outcome="complained", provider_id="sg-1")
    assert await suppressions(desk.db) == {("email", "spam@customer.example", "complained")}
    await desk.idle()
    assert set(desk.sendgrid.events.poster.statuses) == {202}
    await desk.hears_of(3)
    again = await desk.mailer.send(mail, key="another")
    assert again.status == "suppressed"


async def test_a_bounce_has_its_code(desk: Desk) -> None:
    await desk.mailer.send(replace(MAIL, to="bounce@customer.example"), key="k")

    await desk.becomes(outcome="bounced", outcome_code="5.1.1")


@pytest.mark.parametrize("kind", ["hangs", "drops"])
async def test_an_event_proves_a_mail_whose_answer_was_lost(desk: Desk, kind: str) -> None:
    desk.sendgrid.faults.fault = Fault(kind, times=1)  # type: ignore[arg-type]  # one of its kinds

    with pytest.raises(DeliveryUnknownError):
        await desk.mailer.send(MAIL, key="k")

    await desk.becomes(status="sent", outcome="delivered")
    assert (await desk.mailer.send(MAIL, key="k")).status == "already_sent"
    assert len(desk.sendgrid.accepted) == 1


@pytest.mark.parametrize("algorithm", ["HMAC_SHA1", "HMAC_SHA256"])
async def test_callbacks_of_an_sms_end_in_its_row(desk: Desk, algorithm: str) -> None:
    desk.twilio.callbacks.algorithm = algorithm  # type: ignore[assignment]  # one of both

    receipt = await desk.texter.send(SMS, key="k")

    assert receipt.status == "sent"
    await desk.becomes(status="sent", outcome="delivered")
    await desk.idle()
    assert set(desk.twilio.callbacks.poster.statuses) == {204}
    await desk.hears_of(4)


@pytest.mark.parametrize(("end", "code"), [("3003", "30003"), ("3007", "30007")])
async def test_a_failed_sms_has_its_code(desk: Desk, end: str, code: str) -> None:
    await desk.texter.send(replace(SMS, to=f"+90532123{end}"), key="k")

    await desk.becomes(outcome="failed", outcome_code=code)


async def test_a_callback_proves_an_sms_whose_answer_was_lost(desk: Desk) -> None:
    desk.twilio.faults.fault = Fault("hangs", times=1)

    with pytest.raises(DeliveryUnknownError):
        await desk.texter.send(SMS, key="k")

    await desk.becomes(status="sent", outcome="delivered")
    assert (await desk.texter.send(SMS, key="k")).status == "already_sent"
    assert len(desk.twilio.messages) == 1


async def test_stop_ends_the_sms_and_start_begins_them_again(desk: Desk) -> None:
    await desk.texter.send(SMS, key="k")

    assert await desk.twilio.receive(sender=SMS.to, to=FROM, body="Stop") == 204

    async def stopped() -> bool:
        return await suppressions(desk.db) == {("sms", SMS.to, "opted out")}

    await until(stopped)
    assert (await desk.texter.send(SMS, key="another")).status == "suppressed"

    assert await desk.twilio.receive(sender=SMS.to, to=FROM, body="START") == 204

    async def started() -> bool:
        return await suppressions(desk.db) == set()

    await until(started)
    assert (await desk.texter.send(SMS, key="a third")).status == "sent"


async def test_what_nobody_signed_changes_nothing(desk: Desk) -> None:
    await desk.mailer.send(MAIL, key="k")
    await desk.becomes(status="sent", outcome="delivered")
    body, headers = desk.sendgrid.events.signed([{"event": "spamreport", "sg_event_id": "x"}])

    forged = await desk.http.post(
        f"{desk.webhooks}/sendgrid", content=body.replace(b"x", b"y"), headers=headers
    )
    unsigned = await desk.http.post(f"{desk.webhooks}/twilio", data={"MessageSid": "SM1"})

    assert [one.json()["error"]["code"] for one in (forged, unsigned)] == ["bad_signature"] * 2
    assert (forged.status_code, unsigned.status_code) == (400, 400)
