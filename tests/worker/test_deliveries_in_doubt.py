"""Mails that were handed over without an answer: sent, or not?"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clients.errors import (
    DeliveryUnknownError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from clients.handover import Before, nothing
from clients.mail import Mail, MailProvider, Sender
from clients.mail_file import MailFile
from clients.smtp import Smtp
from jobs.kit import Snooze
from tests.clients.mails import MAIL, NOW, SENDER
from tests.worker.mailing import KEY, House, drop_the_line, open_house

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
async def house(db: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[House]:
    async with open_house(db) as house:
        yield house


async def test_a_run_waits_for_another_that_is_sending(house: House) -> None:
    await house.interrupt(house.mailer("run-1"))
    house.now += timedelta(minutes=4)

    with pytest.raises(Snooze) as snooze:
        await house.mailer("run-2").send(MAIL, key=KEY)

    assert snooze.value.delay == timedelta(seconds=30)
    assert (await house.row())["run_id"] == "run-1"


@pytest.mark.parametrize(
    ("run_id", "later"), [("run-1", timedelta(seconds=1)), ("run-2", timedelta(minutes=6))]
)
async def test_nobody_knows_whether_an_interrupted_mail_was_sent(
    house: House, run_id: str, later: timedelta
) -> None:
    await house.interrupt(house.mailer("run-1"))
    assert await house.status() == "sending"
    house.now += later

    with pytest.raises(RequestRejectedError, match="may have been sent"):
        await house.mailer(run_id).send(MAIL, key=KEY)

    assert await house.status() == "unconfirmed"
    assert house.relay.messages == []
    assert house.counter.statuses == ["unconfirmed"]


async def test_an_unconfirmed_mail_is_not_sent_by_trying_again(house: House) -> None:
    house.relay.on_data = drop_the_line
    for _ in range(2):
        with pytest.raises(RequestRejectedError, match="replay this run"):
            await house.mailer().send(MAIL, key=KEY)
        house.relay.on_data = None

    assert await house.status() == "unconfirmed"
    assert len(house.relay.messages) == 1
    assert house.counter.statuses == ["unconfirmed"]


async def test_a_replay_sends_an_unconfirmed_mail(house: House) -> None:
    house.relay.on_data = drop_the_line
    with pytest.raises(RequestRejectedError):
        await house.mailer().send(MAIL, key=KEY)
    house.relay.on_data = None

    receipt = await house.mailer("run-2", replay_of="run-1").send(MAIL, key=KEY)

    assert receipt.status == "sent"
    assert (await house.row())["run_id"] == "run-2"


async def test_a_replay_is_no_answer_to_its_own_question(house: House) -> None:
    house.relay.on_data = drop_the_line
    with pytest.raises(RequestRejectedError):
        await house.mailer().send(MAIL, key=KEY)
    replay = house.mailer("run-2", replay_of="run-1")
    for _ in range(2):
        with pytest.raises(RequestRejectedError):
            await replay.send(MAIL, key=KEY)
        house.relay.on_data = None

    assert len(house.relay.messages) == 2  # the first run's and the replay's, and no third


async def test_a_replay_that_finds_no_relay_leaves_the_question_open(house: House) -> None:
    house.relay.on_data = drop_the_line
    with pytest.raises(RequestRejectedError):
        await house.mailer().send(MAIL, key=KEY)
    house.relay.on_data, house.relay.trouble["RCPT"] = None, "451 later"
    with pytest.raises(ServiceUnavailableError):
        await house.mailer("run-2", replay_of="run-1").send(MAIL, key=KEY)

    assert await house.status() == "unconfirmed"
    house.relay.trouble.clear()
    receipt = await house.mailer("run-2", replay_of="run-1").send(MAIL, key=KEY)
    assert receipt.status == "sent"


async def test_a_slow_twin_may_still_say_that_it_was_sent(house: House) -> None:
    """One run in two workers: the first lost its lease, and sends all the same."""

    async def twin_gives_up(transport: asyncio.Transport) -> None:
        house.relay.on_data = None
        with pytest.raises(RequestRejectedError):
            await house.mailer().send(MAIL, key=KEY)

    house.relay.on_data = twin_gives_up

    await house.mailer().send(MAIL, key=KEY)

    assert await house.status() == "sent"
    assert len(house.relay.messages) == 1


async def test_a_mail_of_which_an_event_told_before_its_answer_is_not_counted_again(
    house: House,
) -> None:
    async def event_comes(transport: asyncio.Transport) -> None:
        await house.db.execute("update deliveries set status = 'sent', provider_id = 'theirs'")

    house.relay.on_data = event_comes

    receipt = await house.mailer().send(MAIL, key=KEY)

    assert receipt.status == "sent"
    assert (await house.row())["provider_id"] == "Q1"
    assert house.counter.statuses == []  # whoever changed the row has counted it


async def test_one_that_is_recorded_while_the_event_is_waits_for_it_and_is_not_counted(
    house: House,
) -> None:
    answered = asyncio.Event()

    async def answer(transport: asyncio.Transport) -> None:
        await answered.wait()

    house.relay.on_data = answer
    sending = asyncio.create_task(house.mailer().send(MAIL, key=KEY))
    while await house.status() != "sending":
        await asyncio.sleep(0.01)
    async with house.db.acquire() as connection, connection.transaction():
        await connection.execute("update deliveries set status = 'sent', provider_id = 'theirs'")
        answered.set()
        while not await house.waiting():
            await asyncio.sleep(0.01)
    receipt = await asyncio.wait_for(sending, 10)

    assert receipt.status == "sent"
    assert (await house.row())["provider_id"] == "Q1"
    assert house.counter.statuses == []


async def test_one_whose_recording_fails_is_counted_all_the_same_and_once(house: House) -> None:
    async def fail(connection: object) -> None:
        raise RuntimeError("of the recording")

    with pytest.raises(RuntimeError, match="of the recording"):
        await house.mailer().send(MAIL, key=KEY, recording=fail)
    again = await house.mailer().send(MAIL, key=KEY)

    assert again.status == "already_sent"
    assert house.counter.statuses == ["sent"]


@pytest.mark.parametrize(
    ("run_id", "later"), [("run-1", timedelta(0)), ("run-2", timedelta(minutes=6))]
)
async def test_an_interrupted_mail_to_a_file_is_written_again(
    house: House, tmp_path: Path, run_id: str, later: timedelta
) -> None:
    house.provider = MailFile(tmp_path, sender=SENDER, clock=lambda: NOW)
    await house.mailer().send(MAIL, key=KEY)
    await house.db.execute("update deliveries set status = 'sending'")
    house.now += later

    receipt = await house.mailer(run_id).send(MAIL, key=KEY)

    assert receipt.status == "sent"
    assert len(await asyncio.to_thread(lambda: list(tmp_path.glob("*.eml")))) == 1


async def test_two_replays_at_once_send_one_mail(house: House) -> None:
    house.relay.on_data = drop_the_line
    with pytest.raises(RequestRejectedError):
        await house.mailer().send(MAIL, key=KEY)
    is_over = asyncio.Event()

    async def hold(transport: asyncio.Transport) -> None:
        await is_over.wait()

    async def replay(run_id: str) -> str:
        try:
            return (await house.mailer(run_id, replay_of="run-1").send(MAIL, key=KEY)).status
        except Snooze:
            is_over.set()
            return "snoozed"

    house.relay.on_data = hold

    async with asyncio.timeout(10):
        async with house.db.acquire() as connection, connection.transaction():
            await connection.execute("select from deliveries for update")
            replays = asyncio.gather(replay("run-2"), replay("run-3"))
            while await house.waiting() < 2:
                await asyncio.sleep(0.01)
        endings = await replays

    assert sorted(endings) == ["sent", "snoozed"]


async def test_a_slow_failure_does_not_undo_what_a_replay_sent(house: House) -> None:
    async def replay_meanwhile(transport: asyncio.Transport) -> None:
        await house.db.execute("update deliveries set status = 'sent', run_id = 'run-2'")
        transport.abort()

    house.relay.on_data = replay_meanwhile

    with pytest.raises(RequestRejectedError):
        await house.mailer().send(MAIL, key=KEY)

    assert await house.status() == "sent"


class PatientRelay(Smtp):
    """A relay that knows a message id again, as some services do."""

    is_repeatable = True


async def test_an_open_question_does_not_matter_where_mails_may_be_repeated(house: House) -> None:
    house.provider = PatientRelay(house.settings, sender=SENDER, clock=lambda: NOW)
    house.relay.on_data = drop_the_line
    with pytest.raises(DeliveryUnknownError):
        await house.mailer().send(MAIL, key=KEY)
    house.relay.on_data = None

    receipt = await house.mailer().send(MAIL, key=KEY)
    await house.provider.aclose()

    assert receipt.status == await house.status() == "sent"
    assert house.counter.statuses == ["failed", "sent"]


async def test_a_file_does_not_make_up_for_a_mail_that_a_relay_may_have_sent(
    house: House, tmp_path: Path
) -> None:
    await house.interrupt(house.mailer())
    house.provider = MailFile(tmp_path, sender=SENDER, clock=lambda: NOW)

    with pytest.raises(RequestRejectedError, match="may have been sent"):
        await house.mailer().send(MAIL, key=KEY)


async def test_a_provider_that_reports_later_is_waited_for(house: House) -> None:
    house.provider = Reporting(house.provider)
    house.relay.on_data = drop_the_line
    with pytest.raises(DeliveryUnknownError) as unknown:
        await house.mailer().send(MAIL, key=KEY)
    assert unknown.value.retry_after == timedelta(minutes=10)
    house.now += timedelta(minutes=2)
    with pytest.raises(Snooze) as snooze:
        await house.mailer().send(MAIL, key=KEY)
    assert snooze.value.delay == timedelta(minutes=8)
    await house.db.execute("update deliveries set status = 'sent'")  # as its event does

    receipt = await house.mailer().send(MAIL, key=KEY)

    assert receipt.status == "already_sent"
    assert len(house.relay.messages) == 1


async def test_a_provider_that_never_reports_leaves_the_question_to_a_person(house: House) -> None:
    house.provider = Reporting(house.provider)
    house.relay.on_data = drop_the_line
    with pytest.raises(DeliveryUnknownError):
        await house.mailer().send(MAIL, key=KEY)
    house.now += timedelta(minutes=11)

    with pytest.raises(RequestRejectedError, match="may have been sent"):
        await house.mailer().send(MAIL, key=KEY)

    assert await house.status() == "unconfirmed"


@dataclass(frozen=True, slots=True)
class Reporting:
    """A provider whose events come back, around one whose do not."""

    inner: MailProvider
    name: str = "smtp"
    is_repeatable: bool = False
    reports: bool = True

    @property
    def sender(self) -> Sender:
        return self.inner.sender

    async def send(self, mail: Mail, *, message_id: str, before: Before = nothing) -> str:
        return await self.inner.send(mail, message_id=message_id, before=before)

    async def aclose(self) -> None:
        """The inner one is closed by the house."""
