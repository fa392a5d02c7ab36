"""Messages in doubt to somebody who wants no more since: each ends in a definite word."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from clients.sms_file import SmsFile
from jobs.kit import Snooze
from tests.clients.mails import MAIL, NOW
from tests.worker.ledger.records import attempt
from tests.worker.mailing import KEY, TENANT, House, open_house
from tests.worker.test_deliveries_sms import SMS, Desk
from tests.worker.test_deliveries_sms import desk as desk  # noqa: PLC0414 - a fixture
from worker.deliveries import DoubtChore
from worker.ending import State
from worker.enqueuer import Pool
from worker.ledger import write_attempts

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from jobs.kit.sending import Connection

    Db = asyncpg.Pool[asyncpg.Record]

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def house(db: "Db") -> AsyncIterator[House]:
    async with open_house(db) as house:
        yield house


async def suppress(db: "Db", channel: str, address: str) -> None:
    await db.execute(
        "insert into suppressions (tenant_id, channel, address, reason) values ($1, $2, $3, 'any')",
        TENANT,
        channel,
        address,
    )


async def kill(desk: Desk, *, is_taken: bool) -> None:
    """While it calls the provider, before or after that took the SMS."""
    if is_taken:
        desk.exchange.trouble = asyncio.CancelledError()
    else:
        desk.exchange.refusal = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await desk.texter().send(SMS, key=KEY)
    desk.exchange.trouble = desk.exchange.refusal = None
    assert await desk.status() == "sending"


async def test_an_sms_that_was_taken_before_they_said_stop_was_sent(desk: Desk) -> None:
    recorded: list[str] = []

    async def record(connection: "Connection") -> None:
        recorded.append(str(await connection.fetchval("select status from deliveries")))

    await kill(desk, is_taken=True)
    await suppress(desk.db, "sms", SMS.to)
    with pytest.raises(Snooze):  # what was taken may not be listed yet
        await desk.texter().send(SMS, key=KEY, recording=record)
    desk.now += MINUTE

    receipt = await desk.texter().send(SMS, key=KEY, recording=record)

    row = await desk.row()
    assert (receipt.status, row["status"], row["provider_id"]) == ("sent", "sent", "SM1")
    assert (recorded, len(desk.exchange.taken)) == (["sent"], 1)


async def test_an_sms_that_was_not_taken_is_not_sent_any_more(desk: Desk) -> None:
    await kill(desk, is_taken=False)
    await suppress(desk.db, "sms", SMS.to)
    desk.now += MINUTE

    receipt = await desk.texter().send(SMS, key=KEY)

    assert receipt.status == await desk.status() == "suppressed"
    assert (desk.exchange.taken, desk.statuses) == ([], ["suppressed"])


async def test_one_that_somebody_else_sends_meanwhile_is_left_to_them(desk: Desk) -> None:
    await desk.texter("run-2").send(SMS, key=KEY)
    await desk.db.execute("update deliveries set status = 'sending', provider_id = null")
    await suppress(desk.db, "sms", SMS.to)

    with pytest.raises(Snooze):
        await desk.texter().send(SMS, key=KEY)

    row = await desk.row()
    assert (row["status"], row["run_id"]) == ("sending", "run-2")


async def test_a_mail_of_which_nobody_knows_is_doubtful_once_its_run_is_over(
    house: House, db: "Db", pool: Pool, tmp_path: "Path"
) -> None:
    await house.interrupt(house.mailer())
    await suppress(db, "email", MAIL.mailbox)

    receipt = await house.mailer().send(MAIL, key=KEY)

    assert (receipt.status, await house.status()) == ("suppressed", "unconfirmed")
    assert house.relay.messages == []
    run_id = (await house.row())["run_id"]
    record = attempt(run_id, state=State.SUCCEEDED, enqueued_at=NOW, started_at=NOW)
    await write_attempts(db, [(uuid4().hex, record.to_bytes())])
    chore = DoubtChore(
        redis=pool,
        db=db,
        sms=SmsFile(tmp_path, clock=lambda: NOW),
        meter=house.counter,
        clock=lambda: NOW + 20 * MINUTE,
    )
    await chore()
    assert await house.status() == "doubtful"
