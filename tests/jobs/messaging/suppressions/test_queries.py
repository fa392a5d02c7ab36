from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.messaging.core.outcomes import Reason
from jobs.messaging.core.suppression import Suppression
from jobs.messaging.suppressions import queries
from tests.jobs.messaging.deliveries import ADDRESS, NOW, insert_tenant, suppressed

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

DAY = timedelta(days=1)


async def test_each_reason_is_kept_and_taken_back_by_itself(db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    reasons: list[Reason] = ["unreachable", "opted out", "unsubscribed", "opted out"]

    async with db.acquire() as connection:
        for reason in reasons:
            await queries.suppress(
                connection, [tenant_id], "email", ADDRESS.upper(), reason=reason, at=NOW
            )
        await queries.release(
            connection, [tenant_id], "email", f" {ADDRESS}", reasons=["opted out", "unreachable"]
        )

    assert await suppressed(db) == {(tenant_id, "email", ADDRESS, "unsubscribed")}


async def test_of_several_reasons_a_wish_is_told_and_the_newest(db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    told: list[tuple[Reason, int]] = [
        ("bounced", 9), ("unsubscribed", 1), ("complained", 2), ("unreachable", 8),
    ]  # fmt: skip
    async with db.acquire() as connection:
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
