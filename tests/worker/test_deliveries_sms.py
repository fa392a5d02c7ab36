"""SMS: once as well, and what is in doubt is asked for."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from clients.errors import (
    AccountRefusedError,
    DeliveryUnknownError,
    RecipientOptedOutError,
    RequestRejectedError,
    ServiceUnavailableError,
    ThrottledError,
)
from clients.handover import Before, nothing
from clients.sms import Sms
from jobs.kit import Cancel, Run, Snooze
from jobs.kit.sending import Recording
from tests.clients.mails import NOW
from tests.worker.mailing import TENANT, Counter
from worker.deliveries import RecordedTexter

if TYPE_CHECKING:
    import asyncpg

    from jobs.kit.sending import Connection

SMS = Sms(template="appointment-reminder", to="+905321234567", body="Yarın 10.00: Boncuk, aşı")
KEY = "appointment-reminder:7:24h"


@dataclass
class Exchange:
    """A provider in memory that keeps what it takes, and does what a test says before it answers.

    `trouble` is raised after the SMS was taken, `refusal` before.
    """

    name: str = "twilio"
    is_repeatable: bool = False
    taken: list[str] = field(default_factory=list)
    trouble: BaseException | None = None
    refusal: BaseException | None = None
    asked: list[datetime] = field(default_factory=list)
    known: Collection[str] = ()
    reads_alike: bool = False  # all it has could be what is looked for
    holds: asyncio.Event | None = None  # back its answers

    async def send(self, sms: Sms, *, message_id: str, before: Before = nothing) -> str:
        await before()
        if self.refusal is not None:
            raise self.refusal
        self.taken.append(message_id)
        provider_id = f"SM{len(self.taken)}"
        if self.holds is not None:
            await self.holds.wait()
        if self.trouble is not None:
            raise self.trouble
        return provider_id

    async def find(
        self, sms: Sms, *, message_id: str, since: datetime, known: Collection[str] = ()
    ) -> str | None:
        self.asked.append(since)
        self.known = known
        for number, taken in enumerate(self.taken, 1):
            is_it = self.reads_alike or taken == message_id
            if is_it and f"SM{number}" not in known:
                return f"SM{number}"
        return None

    async def accepted(
        self,
        to: str,
        *,
        message_id: str,
        since: datetime,
        until: datetime,
        known: Collection[str] = (),
    ) -> list[str]:
        raise AssertionError("a texter knows what it said")

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass
class Desk:
    """Texters for runs of one job."""

    db: "asyncpg.Pool[asyncpg.Record]"
    exchange: Exchange = field(default_factory=Exchange)
    counter: Counter = field(default_factory=Counter)
    now: datetime = NOW
    pauses: list[timedelta] = field(default_factory=list)

    def texter(self, run_id: str = "run-1", **changes: Any) -> RecordedTexter:
        run = Run(
            run_id=run_id,
            job="reminders.send_appointment_reminder",
            queue="reminders",
            attempt=1,
            key=run_id,
            enqueued_at=NOW,
            correlation_id="c",
            tenant_id=TENANT,
        )
        return RecordedTexter(
            db=self.db,
            provider=self.exchange,
            meter=self.counter,
            run=replace(run, **changes),
            clock=lambda: self.now,
            pause=self.pause,
        )

    async def pause(self, wait: timedelta) -> None:
        self.pauses.append(wait)

    async def row(self) -> dict[str, Any]:
        (row,) = await self.db.fetch("select * from deliveries")
        return dict(row)

    async def status(self) -> str | None:
        status: str | None = await self.db.fetchval("select status from deliveries")
        return status

    @property
    def statuses(self) -> list[str]:
        return [status for _, _, status in self.counter.texts]


@pytest.fixture
def desk(db: "asyncpg.Pool[asyncpg.Record]") -> Desk:
    return Desk(db)


async def test_an_sms_is_sent_once_and_remembered(desk: Desk) -> None:
    first = await desk.texter().send(SMS, key=KEY)
    second = await desk.texter("run-2").send(SMS, key=KEY)

    row = await desk.row()
    assert (first.status, second.status) == ("sent", "already_sent")
    assert (row["channel"], row["recipient"], row["status"]) == ("sms", SMS.to, "sent")
    assert (row["provider"], row["provider_id"]) == ("twilio", "SM1")
    assert desk.exchange.taken == [row["message_id"]] == [first.message_id]
    assert desk.statuses == ["sent"]


async def test_what_is_not_to_be_said_any_more_leaves_nothing_behind(desk: Desk) -> None:
    async def check() -> None:
        raise Cancel("the appointment was moved")

    with pytest.raises(Cancel):
        await desk.texter().send(SMS, key=KEY, check=check)

    assert await desk.status() is None
    assert (desk.exchange.taken, desk.statuses) == ([], [])


async def test_whoever_opted_out_gets_none(desk: Desk) -> None:
    await desk.db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'sms', $2, 'opted out')",
        TENANT,
        SMS.to,
    )

    receipt = await desk.texter().send(SMS, key=KEY)

    assert receipt.status == await desk.status() == "suppressed"
    assert desk.exchange.taken == []


async def test_a_suppressed_mail_address_says_nothing_of_sms(desk: Desk) -> None:
    await desk.db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'email', $2, 'unsubscribed')",
        TENANT,
        SMS.to,
    )

    assert (await desk.texter().send(SMS, key=KEY)).status == "sent"


async def test_what_the_provider_knows_of_an_opt_out_is_remembered(desk: Desk) -> None:
    desk.exchange.refusal = RecipientOptedOutError("21610")
    with pytest.raises(RecipientOptedOutError):
        await desk.texter().send(SMS, key=KEY)
    desk.exchange.refusal = None

    receipt = await desk.texter("run-2").send(SMS, key="another")

    assert receipt.status == "suppressed"
    assert desk.exchange.taken == []


async def test_an_unanswered_sms_that_was_taken_is_found(desk: Desk) -> None:
    desk.exchange.trouble = DeliveryUnknownError("no answer")
    with pytest.raises(DeliveryUnknownError) as unknown:
        await desk.texter().send(SMS, key=KEY)
    assert unknown.value.retry_after == timedelta(seconds=30)
    assert await desk.status() == "unconfirmed"
    desk.exchange.trouble = None
    desk.now += timedelta(seconds=30)

    receipt = await desk.texter().send(SMS, key=KEY)

    row = await desk.row()
    assert (receipt.status, row["status"], row["provider_id"]) == ("sent", "sent", "SM1")
    assert len(desk.exchange.taken) == 1
    assert desk.exchange.asked == [NOW]
    assert desk.statuses == ["unconfirmed", "sent"]


async def test_another_sms_that_reads_the_same_is_not_taken_for_it(desk: Desk) -> None:
    await desk.texter().send(SMS, key="the other one")
    desk.exchange.refusal = DeliveryUnknownError("no answer")
    with pytest.raises(DeliveryUnknownError):
        await desk.texter().send(SMS, key=KEY)
    desk.exchange.refusal = None
    desk.now += timedelta(seconds=30)

    await desk.texter().send(SMS, key=KEY)

    assert desk.exchange.known == {"SM1"}
    assert len(desk.exchange.taken) == 2


@pytest.mark.parametrize("is_killed", [False, True])
async def test_another_one_on_its_way_is_not_taken_for_it(desk: Desk, *, is_killed: bool) -> None:
    """It reads the same and goes to the same number; the provider has it, and it has no id yet."""
    desk.exchange.refusal = DeliveryUnknownError("no answer")
    with pytest.raises(DeliveryUnknownError):
        await desk.texter("run-1").send(SMS, key=KEY)
    desk.exchange.refusal, desk.exchange.reads_alike = None, True
    desk.now += timedelta(seconds=30)
    desk.exchange.holds = asyncio.Event()
    other = asyncio.create_task(desk.texter("run-2").send(SMS, key="the other one"))
    async with asyncio.timeout(10):
        while not desk.exchange.taken:
            await asyncio.sleep(0.01)

    with pytest.raises(Snooze, match="another message"):
        await desk.texter("run-1").send(SMS, key=KEY)
    if is_killed:
        other.cancel()
        await asyncio.wait({other})
        desk.exchange.holds = None
        desk.now += timedelta(minutes=5)
        receipts = [await desk.texter("run-2").send(SMS, key="the other one")]
    else:
        desk.exchange.holds.set()
        receipts, desk.exchange.holds = [await other], None
        desk.now += timedelta(seconds=30)
    receipts.append(await desk.texter("run-1").send(SMS, key=KEY))

    rows = await desk.db.fetch("select key, status, provider_id from deliveries order by key desc")
    assert [tuple(row) for row in rows] == [("the other one", "sent", "SM1"), (KEY, "sent", "SM2")]
    assert [receipt.status for receipt in receipts] == ["sent", "sent"]
    assert len(desk.exchange.taken) == 2


async def test_of_two_that_look_at_once_one_takes_what_is_found(desk: Desk) -> None:
    desk.exchange.trouble = DeliveryUnknownError("no answer")
    with pytest.raises(DeliveryUnknownError):
        await desk.texter("run-1").send(SMS, key=KEY)
    desk.exchange.trouble, desk.exchange.refusal = None, DeliveryUnknownError("no answer")
    with pytest.raises(DeliveryUnknownError):
        await desk.texter("run-2").send(SMS, key="the other one")
    desk.exchange.refusal, desk.exchange.reads_alike = None, True
    desk.now += timedelta(seconds=30)
    runs = {"run-1": KEY, "run-2": "the other one"}

    both = await asyncio.gather(
        *(desk.texter(run_id).send(SMS, key=key) for run_id, key in runs.items()),
        return_exceptions=True,
    )
    desk.now += timedelta(seconds=30)
    for run_id, key in runs.items():
        await desk.texter(run_id).send(SMS, key=key)

    assert [type(one) for one in both].count(Snooze) <= 1
    rows = await desk.db.fetch("select status, provider_id from deliveries order by provider_id")
    assert [tuple(row) for row in rows] == [("sent", "SM1"), ("sent", "SM2")]
    assert len(desk.exchange.taken) == 2


async def test_an_unanswered_sms_that_was_not_taken_is_sent_again(desk: Desk) -> None:
    desk.exchange.refusal = DeliveryUnknownError("no answer")
    with pytest.raises(DeliveryUnknownError):
        await desk.texter().send(SMS, key=KEY)
    desk.exchange.refusal = None
    desk.now += timedelta(seconds=30)

    receipt = await desk.texter().send(SMS, key=KEY)

    assert receipt.status == await desk.status() == "sent"
    assert len(desk.exchange.taken) == 1


async def test_nobody_asks_before_the_provider_can_know(desk: Desk) -> None:
    desk.exchange.trouble = DeliveryUnknownError("no answer")
    with pytest.raises(DeliveryUnknownError):
        await desk.texter().send(SMS, key=KEY)
    desk.now += timedelta(seconds=12)

    with pytest.raises(Snooze) as snooze:
        await desk.texter().send(SMS, key=KEY)

    assert snooze.value.delay == timedelta(seconds=18)
    assert desk.exchange.asked == []


@pytest.mark.parametrize(
    ("run_id", "later"),
    [("run-1", timedelta(seconds=31)), ("run-2", timedelta(minutes=6))],
    ids=["the same run", "another one, when the first is given up"],
)
@pytest.mark.parametrize("was_taken", [True, False])
async def test_an_sms_whose_worker_was_killed_is_asked_for(
    desk: Desk, run_id: str, later: timedelta, *, was_taken: bool
) -> None:
    class KilledError(BaseException):
        """The end of a process, as far as this test can bring it about."""

    if was_taken:
        desk.exchange.trouble = KilledError()
    else:
        desk.exchange.refusal = KilledError()
    with pytest.raises(KilledError):
        await desk.texter("run-1").send(SMS, key=KEY)
    assert await desk.status() == "sending"
    desk.exchange.trouble = desk.exchange.refusal = None
    desk.now += later

    receipt = await desk.texter(run_id).send(SMS, key=KEY)

    assert receipt.status == "sent"
    assert len(desk.exchange.taken) == 1


async def test_a_run_killed_before_the_hand_over_left_nothing_behind(desk: Desk) -> None:
    class Slow(Exchange):
        @override
        async def send(self, sms: Sms, *, message_id: str, before: Before = nothing) -> str:
            raise KeyboardInterrupt

    desk.exchange = Slow()
    with pytest.raises(KeyboardInterrupt):
        await desk.texter().send(SMS, key=KEY)

    assert await desk.status() is None


@pytest.mark.parametrize("later", [timedelta(seconds=31), timedelta(minutes=4)])
async def test_another_run_waits_while_the_first_may_still_be_at_it(
    desk: Desk, later: timedelta
) -> None:
    desk.exchange.trouble = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        await desk.texter("run-1").send(SMS, key=KEY)
    desk.now += later

    with pytest.raises(Snooze):
        await desk.texter("run-2").send(SMS, key=KEY)

    assert desk.exchange.asked == []


@pytest.mark.parametrize(
    ("told", "pause"), [(None, timedelta(seconds=30)), (timedelta(minutes=2), timedelta(minutes=2))]
)
async def test_a_provider_that_is_asked_too_often_pauses_its_channel(
    desk: Desk, told: timedelta | None, pause: timedelta
) -> None:
    desk.exchange.refusal = ThrottledError("429", retry_after=told)
    with pytest.raises(Snooze) as limited:
        await desk.texter().send(SMS, key=KEY)
    desk.exchange.refusal = None

    assert limited.value.delay == pause
    assert desk.pauses == [pause]
    assert await desk.status() is None
    assert (await desk.texter().send(SMS, key=KEY)).status == "sent"


async def test_a_refused_account_fails_a_runs_first_attempt_and_keeps_it_then_for_a_day(
    desk: Desk,
) -> None:
    desk.exchange.name = "refusing"
    desk.exchange.refusal = AccountRefusedError("401/20003: check TWILIO_AUTH_TOKEN")
    rest = timedelta(minutes=5)
    with capture_logs() as logs:
        with pytest.raises(AccountRefusedError):
            await desk.texter().send(SMS, key=KEY)
        with pytest.raises(Snooze) as kept:
            await desk.texter(attempt=2).send(SMS, key=KEY)
    assert kept.value.delay == rest
    assert desk.pauses == [rest, rest]
    assert await desk.status() is None
    (line,) = logs
    assert (line["log_level"], line["provider"]) == ("error", "refusing")
    assert "TWILIO_AUTH_TOKEN" in line["error"]

    desk.now += timedelta(hours=23)
    with pytest.raises(Snooze):
        await desk.texter(attempt=2).send(SMS, key=KEY)
    desk.now += timedelta(hours=1)
    with pytest.raises(AccountRefusedError):
        await desk.texter(attempt=2).send(SMS, key=KEY)

    desk.exchange.refusal = None
    assert (await desk.texter(attempt=3).send(SMS, key=KEY)).status == "sent"


async def test_a_provider_that_is_away_is_tried_again(desk: Desk) -> None:
    desk.exchange.refusal = ServiceUnavailableError("no connection")
    with pytest.raises(ServiceUnavailableError):
        await desk.texter().send(SMS, key=KEY)
    desk.exchange.refusal = None

    assert (await desk.texter().send(SMS, key=KEY)).status == "sent"
    assert desk.statuses == ["failed", "sent"]


async def test_a_refused_sms_is_remembered_as_one(desk: Desk) -> None:
    desk.exchange.refusal = RequestRejectedError("21211")

    with pytest.raises(RequestRejectedError):
        await desk.texter().send(SMS, key=KEY)

    assert await desk.status() == "rejected"
    assert desk.statuses == ["failed"]


def noting(what: str) -> Recording:
    async def note(connection: "Connection") -> None:
        await connection.execute("insert into notes values ($1)", what)

    return note


@pytest.fixture
async def notes(desk: Desk) -> Callable[[], Any]:
    await desk.db.execute("create table notes (what text not null)")

    async def read() -> list[str]:
        return [row["what"] for row in await desk.db.fetch("select what from notes")]

    return read


async def test_what_is_recorded_is_true_with_the_send(desk: Desk, notes: Callable[[], Any]) -> None:
    await desk.texter().send(SMS, key=KEY, recording=noting("reminded"))

    assert await notes() == ["reminded"]


async def test_nothing_is_recorded_of_what_was_not_sent(
    desk: Desk, notes: Callable[[], Any]
) -> None:
    desk.exchange.refusal = ServiceUnavailableError("no connection")

    with pytest.raises(ServiceUnavailableError):
        await desk.texter().send(SMS, key=KEY, recording=noting("reminded"))

    assert await notes() == []


async def test_what_the_provider_told_meanwhile_is_recorded_too(
    desk: Desk, notes: Callable[[], Any]
) -> None:
    """Its callback was faster than the next attempt, and has marked the delivery as sent."""
    desk.exchange.trouble = DeliveryUnknownError("no answer")
    with pytest.raises(DeliveryUnknownError):
        await desk.texter().send(SMS, key=KEY, recording=noting("reminded"))
    await desk.db.execute("update deliveries set status = 'sent'")

    receipt = await desk.texter().send(SMS, key=KEY, recording=noting("reminded"))

    assert receipt.status == "already_sent"
    assert await notes() == ["reminded"]


async def test_a_recording_that_fails_makes_nobody_doubt_the_send(
    desk: Desk, notes: Callable[[], Any]
) -> None:
    async def fail(connection: "Connection") -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await desk.texter().send(SMS, key=KEY, recording=fail)
    assert await desk.status() == "sent"

    await desk.texter().send(SMS, key=KEY, recording=noting("reminded"))

    assert await notes() == ["reminded"]
    assert len(desk.exchange.taken) == 1
