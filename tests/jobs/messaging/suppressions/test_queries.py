import asyncio
from datetime import timedelta
from itertools import permutations
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from jobs.messaging.core.outcomes import Reason
from jobs.messaging.core.suppression import Suppression
from jobs.messaging.suppressions import queries
from tests.jobs.messaging.deliveries import ADDRESS, NOW, NUMBER, insert_tenant, suppressed
from worker.clock import utc_now
from worker.suppressions import add, id_for, lift, reason_for

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


async def test_each_reason_is_kept_and_taken_back_by_itself(db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    reasons: list[Reason] = ["unreachable", "opted out", "unsubscribed", "opted out"]

    async with db.acquire() as connection, connection.transaction():
        for reason in reasons:
            await queries.suppress(
                connection, [tenant_id], "email", ADDRESS.upper(), reason=reason, at=NOW
            )
        await queries.release(
            connection, [tenant_id], "email", f" {ADDRESS}",
            reasons=["opted out", "unreachable"], at=NOW + DAY,
        )  # fmt: skip

    assert await suppressed(db) == {(tenant_id, "email", ADDRESS, "unsubscribed")}


async def test_of_several_reasons_a_wish_is_told_and_the_newest(db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    told: list[tuple[Reason, int]] = [
        ("bounced", 9), ("unsubscribed", 1), ("complained", 2), ("unreachable", 8),
    ]  # fmt: skip
    async with db.acquire() as connection, connection.transaction():
        for reason, day in told:
            await queries.suppress(
                connection, [tenant_id], "email", ADDRESS, reason=reason, at=NOW + day * DAY
            )

    found = await queries.suppressions_of(
        db, tenant_id, [("email", ADDRESS.title()), ("sms", ADDRESS), ("email", "x")]
    )

    assert found == {("email", ADDRESS.title()): Suppression("complained", NOW + 2 * DAY)}
    assert await queries.suppressions_of(db, uuid4(), [("email", ADDRESS)]) == {}
    assert await queries.suppressions_of(db, tenant_id, []) == {}


Telling = tuple[bool, Reason, int]  # suppressed or released, why, at which minute


async def tell(db: "Db", tenant_id: UUID, telling: Telling) -> None:
    suppresses, reason, minute = telling
    at = NOW + minute * MINUTE
    async with db.acquire() as connection, connection.transaction():
        if suppresses:
            await queries.suppress(connection, [tenant_id], "sms", NUMBER, reason=reason, at=at)
        else:
            await queries.release(connection, [tenant_id], "sms", NUMBER, reasons=[reason], at=at)


@pytest.mark.parametrize(
    ("told", "holds"),
    [
        ([(True, 1), (False, 2), (True, 3)], 3),
        ([(True, 1), (True, 2), (False, 3)], None),
        ([(False, 1), (True, 2), (True, 3)], 3),
        ([(True, 1), (False, 2)], None),
        ([(False, 2), (True, 2)], 2),  # at the same instant the reason holds
    ],
)
async def test_the_latest_holds_in_whichever_order_they_are_told(
    db: "Db", told: list[tuple[bool, int]], holds: int | None
) -> None:
    for order in permutations(told):
        tenant_id = await insert_tenant(db)
        for suppresses, minute in (*order, *order[:1]):  # and one of them again
            await tell(db, tenant_id, (suppresses, "opted out", minute))

        found = await queries.suppressions_of(db, tenant_id, [("sms", NUMBER)])

        since = {one.since for one in found.values()}
        assert since == (set() if holds is None else {NOW + holds * MINUTE}), order


async def test_those_who_tell_at_once_wait_for_each_other(db: "Db") -> None:
    for _ in range(20):
        tenant_id = await insert_tenant(db)
        both: list[Telling] = [(True, "opted out", 1), (False, "opted out", 2)]

        await asyncio.gather(*(tell(db, tenant_id, one) for one in both))

        assert await queries.suppressions_of(db, tenant_id, [("sms", NUMBER)]) == {}


async def test_a_lifted_reason_is_not_set_again_by_what_was_said_before(db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await tell(db, tenant_id, (True, "opted out", -9))
    found = await db.fetchval("select suppression_id from suppressions")

    async with db.acquire() as connection, connection.transaction():
        assert await lift(connection, found, tenant_id, is_consented=True) is not None
    await tell(db, tenant_id, (True, "opted out", -8))
    assert await queries.suppressions_of(db, tenant_id, [("sms", NUMBER)]) == {}

    in_a_year = (utc_now() - NOW) // MINUTE + 365 * 24 * 60
    await tell(db, tenant_id, (True, "opted out", in_a_year))
    assert len(await queries.suppressions_of(db, tenant_id, [("sms", NUMBER)])) == 1


async def test_what_an_operator_adds_anew_outlives_an_older_start(db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await tell(db, tenant_id, (True, "opted out", 1))
    which = reason_for(tenant_id, "sms", NUMBER, is_requested=True)

    async with db.acquire() as connection, connection.transaction():
        added = await add(
            connection, which, suppression_id=await id_for(db, which), at=NOW + 3 * MINUTE
        )
    await tell(db, tenant_id, (False, "opted out", 2))

    assert added is not None
    assert (added[0].created_at, added[1]) == (NOW + 3 * MINUTE, False)
    assert await suppressed(db) == {(tenant_id, "sms", NUMBER, "opted out")}
