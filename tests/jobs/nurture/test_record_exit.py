from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobs.kit import PayloadError
from jobs.nurture.record_exit import record_exit
from tests.conftest import Tenant
from tests.jobs.nurture.running import enrolment, start
from tests.jobs.nurture.world import Stage, add_contact, add_sequence, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


@pytest.mark.parametrize(
    ("event", "days", "ended"),
    [
        ("conversion", 0, 1),
        ("unsubscribe", 0, 1),  # whether the sequence says so or not
        ("reply", 0, 0),
        ("conversion", -1, 0),  # before it began
    ],
)
async def test_what_a_sequence_is_to_end_on_ends_it(
    db: "Db", stage: Stage, tenant: Tenant, event: str, days: int, ended: int
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(1), exit_on=("conversion",))
    await start(stage.rig, tenant, sequence, contact)
    at = stage.rig.clock() + timedelta(days=days)
    payload: dict[str, Any] = {
        "orgId": str(tenant.tenant_id),
        "contactId": str(contact),
        "event": event,
        "at": at.isoformat(),
    }

    told = (await stage.rig.run(record_exit, payload)).succeeded()
    await stage.pass_time(days=3)

    assert told == {"ended": ended}
    assert len(stage.rig.mails) == 1 - ended
    assert (await enrolment(db))["end_reason"] == (event if ended else None)


def test_an_event_that_is_none_is_named() -> None:
    someone = "0b8a5c44-7f7a-4f6e-9a39-2d2bd4a4d6d2"
    payload = {"tenant_id": someone, "contact_id": someone, "event": "boredom"}

    with pytest.raises(PayloadError, match="event"):
        record_exit.validate(payload)
