from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from clients.errors import RecipientUnreachableError
from clients.sms_text import length, transliterated
from jobs.messaging.profile import profile_of
from jobs.messaging.writing import SmsTooLongError
from jobs.nurture.contacts.contact import load_contacts
from jobs.nurture.sending import Outcome, Wanted, send
from tests.conftest import MakeContext, Tenant
from tests.jobs.nurture.world import BOOKING, Stage, add_contact

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def outcome_of(
    stage: Stage,
    tenant: Tenant,
    make_ctx: MakeContext,
    recorded: list[str],
    values: Mapping[str, str] = BOOKING,
    **contact: Any,
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
        template="nurture_welcome", channel="preferred", values=values, key=str(contact_id)
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


LONG = {"booking_url": "https://book.example/" + "x" * 470}  # more than an SMS of Turkish holds


async def send_long(
    stage: Stage, tenant: Tenant, make_ctx: MakeContext, **contact: Any
) -> tuple[Outcome, list[str]]:
    recorded: list[str] = []
    values = {"booking_url": LONG["booking_url"] + "x" * 200}
    outcome = await outcome_of(stage, tenant, make_ctx, recorded, values=values, **contact)
    return outcome, recorded


async def test_a_link_that_is_too_long_for_an_sms_goes_by_mail(
    stage: Stage, tenant: Tenant, make_ctx: MakeContext
) -> None:
    outcome, recorded = await send_long(
        stage, tenant, make_ctx, phone="+905321234567", by_sms=True, preferred="sms"
    )

    assert outcome.results == {"sms": "unreachable", "email": "sent"}
    assert (outcome.state, outcome.is_recorded, recorded) == ("sent", True, ["recorded"])
    assert stage.rig.texts == []


async def test_a_link_that_is_too_long_for_an_sms_does_not_keep_back_the_mail(
    stage: Stage, tenant: Tenant, make_ctx: MakeContext
) -> None:
    outcome, _ = await send_long(stage, tenant, make_ctx, phone="+905321234567", by_sms=True)

    assert outcome.results == {"email": "sent", "sms": "unreachable"}
    assert (outcome.state, outcome.is_recorded) == ("sent", False)


async def test_without_mail_a_link_that_is_too_long_is_an_error_that_names_it(
    stage: Stage, tenant: Tenant, make_ctx: MakeContext
) -> None:
    with pytest.raises(SmsTooLongError, match="nurture_welcome: booking_url: leaves no room"):
        await send_long(stage, tenant, make_ctx, phone="+905321234567", by_sms=True, by_email=False)


async def test_a_long_link_that_still_fits_stays_whole(
    stage: Stage, tenant: Tenant, make_ctx: MakeContext
) -> None:
    outcome = await outcome_of(
        stage, tenant, make_ctx, [], values=LONG, phone="+905321234567", by_sms=True, by_email=False
    )

    assert outcome.results == {"sms": "sent"}
    (sms,) = stage.rig.texts
    assert LONG["booking_url"] in sms.body.split()
    assert sms.body.startswith(transliterated(tenant.name))
    assert "STOP" in sms.body.rpartition(LONG["booking_url"])[2]
    assert length(sms.body).segments <= 4
