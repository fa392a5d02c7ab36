import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from clients.errors import RequestRejectedError, ServiceUnavailableError
from jobs.kit import Snooze
from tests.clients.mails import MAIL, NOW
from tests.worker.mailing import KEY, TENANT, House, open_house
from worker.deliveries import NOBODY

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
async def house(db: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[House]:
    async with open_house(db) as house:
        yield house


async def test_a_mail_is_sent_and_remembered(house: House) -> None:
    receipt = await house.mailer().send(replace(MAIL, to="Sukru@Tenant.example"), key=KEY)

    row = await house.row()
    assert (receipt.status, receipt.provider) == ("sent", "smtp")
    assert (row["tenant_id"], row["key"], row["recipient"]) == (TENANT, KEY, MAIL.to)
    assert (row["status"], row["template"], row["run_id"]) == ("sent", MAIL.template, "run-1")
    assert (row["provider_id"], row["sent_at"], row["claimed_at"]) == ("Q1", NOW, NOW)
    assert row["message_id"] == receipt.message_id == house.relay.messages[0]["Message-ID"]
    assert house.counter.mails == [("smtp", MAIL.template, "sent")]


async def test_the_row_is_there_before_the_provider_is_called(house: House) -> None:
    seen: list[str | None] = []

    async def look(transport: asyncio.Transport) -> None:
        seen.append(await house.status())

    house.relay.on_data = look

    await house.mailer().send(MAIL, key=KEY)

    assert seen == ["sending"]


@pytest.mark.parametrize("run_id", ["run-1", "run-2"])
async def test_a_sent_mail_is_not_sent_again(house: House, run_id: str) -> None:
    first = await house.mailer().send(MAIL, key=KEY)

    second = await house.mailer(run_id).send(MAIL, key=KEY)

    assert second.status == "already_sent"
    assert second.message_id == first.message_id
    assert len(house.relay.messages) == 1
    assert house.counter.statuses == ["sent"]


@pytest.mark.parametrize(
    "changes", [{"tenant_id": uuid4()}, {"tenant_id": None}], ids=["another tenant", "no tenant"]
)
async def test_tenants_do_not_share_keys(house: House, changes: dict[str, Any]) -> None:
    await house.mailer().send(MAIL, key=KEY)

    receipt = await house.mailer(**changes).send(MAIL, key=KEY)

    assert receipt.status == "sent"
    tenants = {row["tenant_id"] for row in await house.db.fetch("select * from deliveries")}
    assert tenants == {TENANT, changes["tenant_id"] or NOBODY}
    assert len({message["Message-ID"] for message in house.relay.messages}) == 2


@pytest.mark.parametrize("address", ["bilgi@müşteri.com.tr", "bilgi@xn--mteri-kva70e.com.tr"])
async def test_nothing_is_sent_to_a_suppressed_address(house: House, address: str) -> None:
    await suppress(house, address)

    receipt = await house.mailer().send(replace(MAIL, to="Bilgi@müşteri.com.tr"), key=KEY)

    assert receipt.status == await house.status() == "suppressed"
    assert house.relay.messages == []
    assert house.counter.statuses == ["suppressed"]


async def test_a_lifted_suppression_lets_the_mail_go(house: House) -> None:
    await suppress(house, MAIL.to)
    await house.mailer().send(MAIL, key=KEY)
    await house.db.execute("delete from suppressions")

    receipt = await house.mailer().send(MAIL, key=KEY)

    assert receipt.status == await house.status() == "sent"


async def test_a_suppression_does_not_rewrite_what_was_sent(house: House) -> None:
    await house.mailer().send(MAIL, key=KEY)
    await suppress(house, MAIL.to)

    receipt = await house.mailer().send(MAIL, key=KEY)

    assert receipt.status == "already_sent"
    assert await house.status() == "sent"


async def suppress(house: House, address: str) -> None:
    await house.db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'email', $2, 'unsubscribed')",
        TENANT,
        address,
    )


async def test_two_runs_at_once_send_one_mail(house: House) -> None:
    waiting = asyncio.Semaphore(0)

    async def hold(transport: asyncio.Transport) -> None:
        for _ in range(3):
            await waiting.acquire()

    async def send(run_id: str) -> str:
        try:
            return (await house.mailer(run_id).send(MAIL, key=KEY)).status
        except Snooze:
            waiting.release()
            return "snoozed"

    house.relay.on_data = hold

    endings = await asyncio.gather(*(send(f"run-{number}") for number in range(4)))

    assert sorted(endings) == ["sent", "snoozed", "snoozed", "snoozed"]
    assert len(house.relay.messages) == 1


async def test_a_relay_that_cannot_now_gets_the_mail_later(house: House) -> None:
    house.relay.trouble["RCPT"] = "451 4.7.1 Greylisted"
    with pytest.raises(ServiceUnavailableError):
        await house.mailer().send(MAIL, key=KEY)
    assert await house.status() is None
    house.relay.trouble.clear()

    receipt = await house.mailer().send(MAIL, key=KEY)

    assert receipt.status == "sent"
    assert house.counter.statuses == ["failed", "sent"]


async def test_a_refused_mail_may_be_tried_again(house: House) -> None:
    house.relay.trouble["RCPT"] = "550 5.1.1 no such user"
    with pytest.raises(RequestRejectedError, match="550"):
        await house.mailer().send(MAIL, key=KEY)
    assert await house.status() == "rejected"
    house.relay.trouble.clear()

    receipt = await house.mailer("run-2", replay_of="run-1").send(MAIL, key=KEY)

    assert receipt.status == await house.status() == "sent"
    assert house.counter.statuses == ["failed", "sent"]
