from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from clients.errors import RecipientUnreachableError, ServiceUnavailableError
from jobs.nurture.start_sequence import start_sequence
from tests.conftest import Tenant
from tests.jobs.nurture.world import (
    Stage,
    add_contact,
    add_sequence,
    put_steps,
    reply,
    steps_after,
    suppress,
)
from worker.ending import State

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def start(stage: Stage, tenant: Tenant, sequence: UUID, *contacts: UUID) -> dict[str, int]:
    payload = {
        "tenant_id": str(tenant.tenant_id),
        "contact_ids": [str(contact) for contact in contacts],
        "sequence": str(sequence),
    }
    counts: dict[str, int] = (await stage.rig.run(start_sequence, payload)).succeeded()
    return counts


async def ended(db: "Db") -> tuple[str, str | None]:
    row = await db.fetchrow("select state, end_reason from enrolments")
    assert row is not None
    return row["state"], row["end_reason"]


async def states(db: "Db") -> list[str]:
    rows = await db.fetch("select state from enrolment_steps order by at")
    return [row["state"] for row in rows]


@pytest.mark.parametrize("is_paused", [False, True])
async def test_who_replies_while_the_relay_is_reached_gets_no_mail(
    db: "Db", stage: Stage, tenant: Tenant, *, is_paused: bool
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 3))
    await start(stage, tenant, sequence, contact)
    stage.rig.clock.move(seconds=1)
    if is_paused:
        pause = "update enrolments set state = 'paused', paused_at = now(), turn = turn + 1"
        stage.rig.outbox.meanwhile = partial(db.execute, pause)
    else:
        stage.rig.outbox.meanwhile = partial(
            reply, db, tenant.tenant_id, contact, at=stage.rig.clock()
        )

    await stage.pass_time(days=10)

    assert stage.rig.mails == []
    assert await ended(db) == (("paused", None) if is_paused else ("ended", "reply"))
    assert await db.fetchval("select count(*) from deliveries") == 0


async def test_each_step_comes_so_long_after_the_one_before(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 3, 4))
    begun = stage.rig.clock()

    assert await start(stage, tenant, sequence, contact) == {
        "started": 1,
        "in_it": 0,
        "left_out": 0,
    }
    await stage.pass_time(days=30)

    assert [sent.sent_at - begun for sent in stage.rig.mails] == [
        timedelta(0),
        timedelta(days=3),
        timedelta(days=7),
    ]
    assert [sent.mail.template for sent in stage.rig.mails] == [
        "nurture-welcome",
        "nurture-first-visit",
        "nurture-check-in",
    ]
    assert await ended(db) == ("completed", None)


async def test_a_mail_of_a_sequence_has_a_way_out_and_the_tenants_values(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    await start(stage, tenant, await add_sequence(db, tenant.tenant_id, steps_after(0)), contact)

    await stage.run_due()

    (mail,) = [sent.message for sent in stage.rig.mails]
    token = await db.fetchval("select token from unsubscribe_links")
    assert mail["List-Unsubscribe"] == f"<{stage.rig.resources.links}/unsubscribe/{token}>"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "https://book.example/visit" in body.get_content()


async def test_progress_and_the_next_run_are_written_with_the_sending(
    db: "Db", stage: Stage, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When what was handed over cannot be written down, the next attempt does that and no more."""
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 1))
    await start(stage, tenant, sequence, contact)
    (first,) = await stage.collect()

    async def crash(*_: Any) -> None:
        raise ConnectionResetError("the database is gone")

    with monkeypatch.context() as patch:
        patch.setattr("jobs.nurture.stepping.finish_step", crash)
        (await stage.rig.run(first.job, first.payload, run_id=first.run_id)).retrying()
    assert (len(stage.rig.mails), await states(db), await stage.collect()) == (1, [], [first])
    await stage.pass_time(days=2)

    assert len(stage.rig.mails) == 2
    assert await states(db) == ["sent", "sent"]
    statuses = await db.fetch("select status from deliveries")
    assert [row["status"] for row in statuses] == ["sent", "sent"]


async def test_a_run_of_an_older_plan_does_nothing(db: "Db", stage: Stage, tenant: Tenant) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    await start(stage, tenant, await add_sequence(db, tenant.tenant_id, steps_after(0)), contact)
    (first,) = await stage.collect()
    stale = {**first.payload, "turn": 0}

    ended_as = await stage.rig.run(first.job, stale)

    assert "planned since" in ended_as.cancelled()
    assert stage.rig.mails == []


async def test_a_run_that_wakes_after_its_step_was_put_off_waits(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    """Before the sequence is planned anew, which it may be late for."""
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(1))
    await start(stage, tenant, sequence, contact)
    await put_steps(db, tenant.tenant_id, sequence, steps_after(3))

    (woken,) = await stage.pass_time(days=1)

    assert woken.snoozed() == timedelta(days=2)
    assert stage.rig.mails == []


@pytest.mark.parametrize(
    ("reason", "channel", "address"),
    [("unsubscribed", "email", "deniz@example.org"), ("opted out", "sms", "+905321234567")],
)
async def test_who_unsubscribes_has_ended_it_by_whichever_channel(
    db: "Db", stage: Stage, tenant: Tenant, reason: str, channel: str, address: str
) -> None:
    contact = await add_contact(db, tenant.tenant_id, phone="+90 532 123 45 67", by_sms=True)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 1))
    await start(stage, tenant, sequence, contact)
    await stage.run_due()

    await suppress(db, tenant.tenant_id, channel, address, reason, stage.rig.clock())
    await stage.pass_time(days=3)

    assert len(stage.rig.mails) == 1
    assert await ended(db) == ("ended", "unsubscribe")


@pytest.mark.parametrize(("exit_on", "mails"), [(("reply",), 1), (("conversion",), 2)])
async def test_a_reply_ends_it_if_it_is_to(
    db: "Db", stage: Stage, tenant: Tenant, exit_on: tuple[str, ...], mails: int
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 1), exit_on=exit_on)
    await reply(db, tenant.tenant_id, contact, stage.rig.clock() - timedelta(days=1))
    await start(stage, tenant, sequence, contact)
    await stage.run_due()

    await reply(db, tenant.tenant_id, contact, stage.rig.clock())
    await stage.pass_time(days=3)

    assert len(stage.rig.mails) == mails
    assert (await ended(db) == ("ended", "reply")) == (mails == 1)


async def test_who_withdraws_consent_gets_no_more(db: "Db", stage: Stage, tenant: Tenant) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 1))
    await start(stage, tenant, sequence, contact)
    await stage.run_due()

    await db.execute("update contacts set marketing_by_email = false")
    await stage.pass_time(days=3)

    assert len(stage.rig.mails) == 1
    assert await ended(db) == ("ended", "consent_withdrawn")


async def test_a_step_without_a_way_out_is_skipped_counted_and_the_next_one_comes(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 1, 1))
    await start(stage, tenant, sequence, contact)
    await stage.run_due()
    await db.execute("update contacts set email = null")

    stage.rig.clock.move(days=1)
    await stage.run_due()
    await db.execute("update contacts set email = 'deniz@example.org'")
    await stage.pass_time(days=1)

    assert await states(db) == ["sent", "skipped", "sent"]
    assert await ended(db) == ("completed", None)
    assert len(stage.rig.counted.skips) == 1


async def test_a_provider_that_is_away_delays_a_step_and_loses_none(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 1))
    await start(stage, tenant, sequence, contact)
    stage.rig.outbox.error = ServiceUnavailableError("away")

    (first,) = await stage.run_due()
    stage.rig.outbox.error = None
    await stage.pass_time(days=2)

    assert first.state is State.RETRYING
    assert len(stage.rig.mails) == 2


async def test_an_address_that_is_refused_is_replaced_by_the_telephone(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(
        db, tenant.tenant_id, phone="0532 123 45 67", by_sms=True, preferred="email"
    )
    await db.execute(
        "insert into messaging_profiles (tenant_id, country) values ($1, 'TR')", tenant.tenant_id
    )
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, channel="preferred"))
    await start(stage, tenant, sequence, contact)
    stage.rig.outbox.error = RecipientUnreachableError("no such mailbox")

    await stage.run_due()

    (sms,) = stage.rig.texts
    assert sms.to == "+905321234567"
    assert await states(db) == ["sent"]


async def test_an_sms_waits_for_the_morning_and_the_mail_of_the_same_step_does_not(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id, phone="+905321234567", by_sms=True)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0.5, channel="preferred"))
    await start(stage, tenant, sequence, contact)

    await stage.pass_time(hours=13)  # midnight in Istanbul
    assert (len(stage.rig.mails), stage.rig.texts) == (1, [])
    assert await states(db) == []
    await stage.pass_time(hours=10)

    assert (len(stage.rig.mails), len(stage.rig.texts)) == (1, 1)
    assert await states(db) == ["sent"]
    assert await ended(db) == ("completed", None)


async def test_a_template_that_its_values_do_not_fill_is_named(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0), values={})
    await start(stage, tenant, sequence, contact)

    (died,) = await stage.run_due()

    assert "nurture_welcome" in died.dead().message
    assert "booking_url" in died.dead().message
