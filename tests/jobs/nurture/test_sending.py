from typing import TYPE_CHECKING, Any

import pytest

from clients.errors import RecipientUnreachableError
from jobs.messaging.profile import profile_of
from jobs.nurture.contacts.contact import load_contacts
from jobs.nurture.sending import Outcome, Wanted, send
from tests.conftest import MakeContext, Tenant
from tests.jobs.nurture.world import BOOKING, Stage, add_contact

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def outcome_of(
    stage: Stage, tenant: Tenant, make_ctx: MakeContext, recorded: list[str], **contact: Any
) -> Outcome:
    contact_id = await add_contact(stage.db, tenant.tenant_id, **contact)
    tools = {"mail": stage.rig.outbox, "sms": stage.rig.text_outbox}
    ctx = make_ctx(
        "nurture.run_step", tenant_id=tenant.tenant_id, now=stage.rig.clock(), tools=tools
    )
    profile = await profile_of(stage.db, tenant.tenant_id)
    (known,) = await load_contacts(stage.db, profile, [contact_id])

    async def record(_: Any) -> None:
        recorded.append("recorded")

    wanted = Wanted(
        template="nurture_welcome", channel="preferred", values=BOOKING, key=str(contact_id)
    )
    return await send(ctx, profile, known, wanted, record)


async def test_by_both_channels_what_is_to_be_written_is_written_with_the_last(
    stage: Stage, tenant: Tenant, make_ctx: MakeContext
) -> None:
    recorded: list[str] = []

    outcome = await outcome_of(
        stage, tenant, make_ctx, recorded, phone="+905321234567", by_sms=True
    )

    assert (outcome.state, outcome.is_recorded) == ("sent", True)
    assert outcome.results == {"email": "sent", "sms": "sent"}
    assert recorded == ["recorded"]


@pytest.mark.parametrize(
    ("contact", "reason"),
    [({"by_email": False}, "no_consent"), ({"email": "no address"}, "no_address")],
)
async def test_without_a_channel_it_is_skipped_and_left_to_the_caller_to_write_down(
    stage: Stage,
    tenant: Tenant,
    make_ctx: MakeContext,
    contact: dict[str, Any],
    reason: str,
) -> None:
    recorded: list[str] = []

    outcome = await outcome_of(stage, tenant, make_ctx, recorded, **contact)

    assert (outcome.state, outcome.reason, outcome.is_recorded) == ("skipped", reason, False)
    assert recorded == []


async def test_an_address_that_is_refused_without_another_is_skipped(
    stage: Stage, tenant: Tenant, make_ctx: MakeContext
) -> None:
    stage.rig.outbox.error = RecipientUnreachableError("no such mailbox")

    outcome = await outcome_of(stage, tenant, make_ctx, [])

    assert (outcome.state, outcome.reason) == ("skipped", "unreachable")
    assert outcome.results == {"email": "unreachable"}
