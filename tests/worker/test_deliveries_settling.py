"""Messages in doubt whose run is over: who can be asked is asked, and each ends in one word."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from typing_extensions import override

from clients.errors import RequestRejectedError
from clients.sms_file import SmsFile
from clients.twilio import Twilio, TwilioSettings
from jobs.messaging.record_sendgrid_events import record_sendgrid_events
from tests.clients.mails import MAIL
from tests.clients.stand_ins.control import Fault
from tests.clients.stand_ins.twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    FROM,
    TwilioServer,
    twilio_server,
)
from tests.clients.texts import SMS
from tests.conftest import Tenant
from tests.jobs.messaging.deliveries import (
    MAIL_ID,
    event,
    insert_delivery,
    insert_tenant,
    sendgrid_payload,
)
from tests.jobs.reminders.appointments import insert_appointment, insert_contact
from tests.worker.conftest import Ledgered, StartWorker, until
from tests.worker.ledger.records import attempt, dead
from tests.worker.mailing import KEY, Counter, House, drop_the_line, open_house
from tests.worker.test_cli import Cli
from tests.worker.test_cli import cli as cli  # noqa: PLC0414 - a fixture is found by its name here
from worker.cancelling import cancel
from worker.deliveries import DoubtChore
from worker.ending import State
from worker.enqueuer import Pool
from worker.ledger import write_attempts, write_dead_letters
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOW = datetime.now(UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
CLAIMED_AT = NOW - 20 * MINUTE
# As the row is that a run in doubt leaves behind.
IN_DOUBT = {"provider_id": None, "sent_at": None, "claimed_at": CLAIMED_AT}


@dataclass
class Desk:
    """Runs that left messages in doubt, Twilio, and the chore."""

    db: "Db"
    pool: Pool
    server: TwilioServer
    twilio: Twilio
    counter: Counter = field(default_factory=Counter)

    async def doubt(self, channel: str = "sms", **changes: Any) -> None:
        row = {"key": uuid4().hex, "status": "unconfirmed", "message_id": uuid4().hex}
        tenant_id = await insert_tenant(self.db)
        await insert_delivery(self.db, tenant_id, channel=channel, **{**IN_DOUBT, **row, **changes})

    async def end(self, state: State = State.CANCELLED, run_id: str = "run-1") -> None:
        """As the ledger writes it."""
        record = attempt(run_id, state=state, enqueued_at=CLAIMED_AT, started_at=CLAIMED_AT)
        await write_attempts(self.db, [(uuid4().hex, record.to_bytes())])

    async def pass_by(self, *, sms: Any = None, now: datetime = NOW) -> None:
        chore = DoubtChore(
            redis=self.pool,
            db=self.db,
            sms=sms or self.twilio,
            meter=self.counter,
            clock=lambda: now,
        )
        await chore()

    async def statuses(self) -> list[tuple[str, str | None]]:
        rows = await self.db.fetch("select status, provider_id from deliveries order by message_id")
        return [(row["status"], row["provider_id"]) for row in rows]


@pytest.fixture
async def desk(db: "Db", pool: Pool) -> AsyncIterator[Desk]:
    async with twilio_server() as server, httpx.AsyncClient() as http:
        settings = TwilioSettings(
            account_sid=ACCOUNT_SID,
            auth_token=SecretStr(AUTH_TOKEN),
            sender=FROM,
            url=server.url,
            timeout=2,
        )
        yield Desk(db, pool, server, Twilio(settings, http=http))


async def twilio_took(desk: Desk, *ages: timedelta) -> list[str]:
    """SMS of that age; returns their SIDs."""
    sids = []
    for age in ages:
        desk.server.now = NOW - age
        sids.append(await desk.twilio.send(SMS, message_id="1"))
    return sids


@pytest.mark.parametrize("status", ["sending", "unconfirmed"])
async def test_a_mail_of_a_cancelled_run_is_doubtful_and_operators_see_it(
    desk: Desk, cli: Cli, status: str
) -> None:
    await desk.doubt("email", status=status)
    await desk.end()

    await desk.pass_by()

    assert await desk.statuses() == [("doubtful", None)]
    assert desk.counter.mails == [("sendgrid", "appointment-reminder", "doubtful")]
    told = (await cli("doubts")).stdout
    assert (
        f"{CLAIMED_AT:%Y-%m-%d %H:%M}  appointment-reminder by email (sendgrid)  run run-1" in told
    )
    (line,) = (await cli("doubts", "--json")).stdout.splitlines()
    assert json.loads(line)["run_id"] == "run-1"
    assert "customer.example" not in told + line


async def test_there_is_nothing_to_see_when_all_is_known(desk: Desk, cli: Cli) -> None:
    await desk.doubt(status="sent")

    await desk.pass_by()

    assert (await cli("doubts")).stdout == "no messages in doubt\n"


async def test_twilio_is_asked_and_has_it(desk: Desk) -> None:
    (sid,) = await twilio_took(desk, 20 * MINUTE)
    await twilio_took(desk, 50 * MINUTE, 5 * MINUTE)  # these are others
    await desk.doubt()
    await desk.end()

    await desk.pass_by()

    assert await desk.statuses() == [("sent", sid)]
    assert await desk.db.fetchval("select sent_at from deliveries") == CLAIMED_AT
    assert desk.counter.texts == [("twilio", "appointment-reminder", "sent")]


async def test_what_twilio_never_had_is_as_if_nobody_had_tried(desk: Desk) -> None:
    (known,) = await twilio_took(desk, 20 * MINUTE)
    await desk.doubt(status="sent", provider_id=known)  # that one was another message
    await desk.doubt()
    await desk.end()

    await desk.pass_by()

    assert await desk.statuses() == [("sent", known)]
    assert desk.counter.texts == [("twilio", "appointment-reminder", "failed")]


@pytest.mark.parametrize("others", ["two at Twilio", "two in doubt"])
async def test_which_of_two_sms_it_was_is_not_guessed(desk: Desk, others: str) -> None:
    await twilio_took(desk, *[20 * MINUTE] * (2 if others == "two at Twilio" else 1))
    await desk.doubt()
    if others == "two in doubt":
        await desk.doubt(claimed_at=CLAIMED_AT + MINUTE)
    await desk.end()

    await desk.pass_by()

    assert {status for status, _ in await desk.statuses()} == {"doubtful"}


@pytest.mark.parametrize("fault", [Fault("broken", status=503), Fault("throttled")])
async def test_twilio_is_asked_again_for_a_day_when_it_does_not_answer(
    desk: Desk, fault: Fault
) -> None:
    await desk.doubt()
    await desk.end()
    desk.server.faults.fault = fault

    await desk.pass_by()
    assert await desk.statuses() == [("unconfirmed", None)]
    await desk.pass_by(now=NOW + DAY)

    assert await desk.statuses() == [("doubtful", None)]


async def test_an_sms_of_a_provider_that_is_no_longer_ours_is_doubtful(
    desk: Desk, tmp_path: Path
) -> None:
    await desk.doubt()
    await desk.end()

    await desk.pass_by(sms=SmsFile(tmp_path, clock=lambda: NOW))

    assert await desk.statuses() == [("doubtful", None)]


async def test_a_file_is_there_or_not(desk: Desk, tmp_path: Path) -> None:
    files = SmsFile(tmp_path, clock=lambda: NOW)
    name = await files.send(SMS, message_id="m1")
    await desk.doubt(provider="file", message_id="m1", claimed_at=CLAIMED_AT - 60 * MINUTE)
    await desk.doubt(provider="file", message_id="m2")
    await desk.end()

    await desk.pass_by(sms=files)

    assert await desk.statuses() == [("sent", name)]


async def waits_in_redis(desk: Desk) -> None:
    await desk.end()
    await desk.pool.set("arq:job:run-1", b"x")  # the same id once more, perhaps


async def is_a_dead_letter(desk: Desk) -> None:
    last = replace(dead("run-1").last, started_at=CLAIMED_AT)
    await write_attempts(desk.db, [("e", last.to_bytes())])
    await write_dead_letters(desk.db, [("e", dead("run-1").to_bytes())])


async def goes_on(desk: Desk) -> None:
    await desk.end(State.RETRYING)


async def has_just_been_claimed(desk: Desk) -> None:
    await desk.end()
    await desk.db.execute("update deliveries set claimed_at = $1", NOW - 14 * MINUTE)


@pytest.mark.parametrize(
    ("how", "later"),
    [
        (waits_in_redis, 2 * DAY),
        (is_a_dead_letter, 2 * DAY),
        (goes_on, 0 * DAY),
        (has_just_been_claimed, 0 * DAY),
    ],
)
async def test_what_somebody_sees_to_is_left_alone(
    desk: Desk, how: Callable[[Desk], Any], later: timedelta
) -> None:
    await desk.doubt("email")
    await how(desk)

    await desk.pass_by(now=NOW + later)

    assert await desk.statuses() == [("unconfirmed", None)]
    assert desk.counter.mails == []


async def test_a_dead_letter_that_was_discarded_leaves_a_doubtful_message(desk: Desk) -> None:
    await desk.doubt("email")
    await is_a_dead_letter(desk)
    await desk.db.execute("update dead_letters set status = 'discarded', handled_at = now()")

    await desk.pass_by(now=NOW + DAY)

    assert await desk.statuses() == [("doubtful", None)]


async def test_a_run_that_is_lost_is_given_a_day(desk: Desk) -> None:
    await desk.doubt("email", status="sending")

    await desk.pass_by()
    before = await desk.statuses()
    await desk.pass_by(now=NOW + DAY)

    assert (before, await desk.statuses()) == ([("sending", None)], [("doubtful", None)])


async def test_all_pages_are_gone_through(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.deliveries.settling._PAGE", 2)
    for _ in range(3):
        await desk.doubt("email", run_id="waits")
    await desk.doubt("email", claimed_at=CLAIMED_AT + MINUTE)
    await desk.end()
    await desk.end(run_id="waits")
    await desk.pool.set("arq:job:waits", b"x")

    await desk.pass_by()

    statuses = [status for status, _ in await desk.statuses()]
    assert sorted(statuses) == ["doubtful", *["unconfirmed"] * 3]


async def test_who_claims_a_message_meanwhile_keeps_it(desk: Desk) -> None:
    """A replay begins while Twilio is asked."""
    await desk.doubt()
    await desk.end()

    class Slow(SmsFile):
        @override
        async def accepted(self, *_: Any, **__: Any) -> list[str]:
            await desk.db.execute("update deliveries set run_id = 'run-2', claimed_at = now()")
            return []

    await desk.pass_by(sms=Slow(Path("unused"), clock=lambda: NOW, name="twilio"))

    assert await desk.statuses() == [("unconfirmed", None)]
    assert desk.counter.texts == []


async def test_a_worker_does_it_now_and_then(
    desk: Desk, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.retention.chore._EVERY", 0.05)
    await desk.doubt("email")
    await desk.end()

    await start_worker()

    async def is_doubtful() -> bool:
        return await desk.statuses() == [("doubtful", None)]

    await until(is_doubtful)


async def test_an_sms_without_an_answer_is_asked_for_though_its_run_was_cancelled(
    desk: Desk,
    tenant: Tenant,
    start_worker: StartWorker,
    ledgered: Ledgered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the reminder whose answer got lost, over the one who cancels it, to the word it has."""
    monkeypatch.setattr("worker.retention.chore._EVERY", 0.05)
    await start_worker(
        sms_provider="twilio",
        twilio_account_sid=ACCOUNT_SID,
        twilio_auth_token=AUTH_TOKEN,
        twilio_from=FROM,
        twilio_url=desk.server.url,
    )
    desk.server.faults.fault = Fault("lost", times=1)
    desk.server.now = CLAIMED_AT
    payload = {"tenant_id": tenant.tenant_id, **await book(desk.db, tenant)}
    run = await desk.pool.enqueue_job("reminders.send_appointment_reminder", payload)
    assert run is not None
    await ledgered.run(run.job_id, state="retrying")
    assert await desk.statuses() == [("unconfirmed", None)]

    assert await cancel(desk.pool, run.job_id) == "cancelled"
    await ledgered.run(run.job_id, state="cancelled")
    await desk.db.execute("update deliveries set claimed_at = $1", CLAIMED_AT)

    async def is_settled() -> bool:
        return await desk.statuses() == [("sent", desk.server.messages[0]["sid"])]

    await until(is_settled)
    assert len(desk.server.messages) == 1


async def book(db: "Db", tenant: Tenant) -> dict[str, Any]:
    """An appointment in an hour, of somebody whose telephone may ring; and its reminder."""
    await db.execute(
        "insert into messaging_profiles (tenant_id, country, quiet_from, quiet_to)"
        " values ($1, 'TR', '00:00', '00:00')",
        tenant.tenant_id,
    )
    contact_id = await insert_contact(db, tenant.tenant_id)
    starts_at = NOW + 60 * MINUTE
    return {
        "contact_id": contact_id,
        "appointment_id": await insert_appointment(db, tenant.tenant_id, contact_id, starts_at),
        "scheduled_for": starts_at,
        "reminder_type": "3h",
        "channel": "sms",
    }


async def test_what_is_told_later_is_still_heard(rig: Rig, desk: Desk, db: "Db") -> None:
    await desk.doubt("email", message_id=MAIL_ID)
    await desk.end()
    await desk.pass_by()

    (await rig.run(record_sendgrid_events, sendgrid_payload(event("delivered")))).succeeded()

    row = await db.fetchrow("select status, outcome from deliveries")
    assert row is not None
    assert (*row,) == ("sent", "delivered")


@pytest.fixture
def rig(db: "Db") -> Rig:
    return Rig(db=db)


@pytest.fixture
async def house(db: "Db") -> AsyncIterator[House]:
    async with open_house(db) as house:
        yield house


@pytest.mark.parametrize(
    ("run_id", "replay_of", "is_sent"),
    [("run-1", None, False), ("run-2", None, False), ("run-2", "run-1", True)],
)
async def test_a_doubtful_mail_is_sent_again_by_a_replay_alone(
    house: House, desk: Desk, run_id: str, replay_of: str | None, *, is_sent: bool
) -> None:
    house.relay.on_data = drop_the_line
    with pytest.raises(RequestRejectedError):
        await house.mailer().send(MAIL, key=KEY)
    house.relay.on_data = None
    await desk.end()
    await desk.pass_by(now=house.now + 16 * MINUTE)
    assert await house.status() == "doubtful"

    mailer = house.mailer(run_id, replay_of=replay_of)
    if is_sent:
        assert (await mailer.send(MAIL, key=KEY)).status == "sent"
    else:
        with pytest.raises(RequestRejectedError, match="may have been sent"):
            await mailer.send(MAIL, key=KEY)

    assert await house.status() == ("sent" if is_sent else "unconfirmed")
    assert len(house.relay.messages) == (2 if is_sent else 1)
