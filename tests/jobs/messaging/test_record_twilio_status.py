from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from jobs.messaging.core.suppression import Suppression
from jobs.messaging.record_twilio_status import StatusRecorded, record_twilio_status
from jobs.messaging.suppressions.queries import suppressions_of
from tests.jobs.messaging.deliveries import (
    NOW,
    NUMBER,
    OUR_NUMBER,
    SMS_ID,
    Told,
    inbound_payload,
    insert_delivery,
    insert_tenant,
    suppressed,
    told,
    twilio_payload,
)
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

SECOND = timedelta(seconds=1)


async def recorded(rig: Rig, payload: dict[str, str]) -> str:
    returned = (await rig.run(record_twilio_status, payload)).succeeded()
    assert isinstance(returned, StatusRecorded)
    return returned.did


async def insert_contact(db: "Db", tenant_id: UUID, phone: str) -> UUID:
    contact_id = uuid4()
    await db.execute(
        "insert into contacts (tenant_id, contact_id, full_name, phone) values ($1, $2, 'Pat', $3)",
        tenant_id,
        contact_id,
        phone,
    )
    return contact_id


async def set_profile(
    db: "Db", tenant_id: UUID, *, sms_from: str | None, country: str = "TR"
) -> None:
    await db.execute(
        "insert into messaging_profiles (tenant_id, sms_from, country) values ($1, $2, $3)",
        tenant_id,
        sms_from,
        country,
    )


async def replies(db: "Db") -> set[tuple[UUID, UUID, str]]:
    rows = await db.fetch("select tenant_id, contact_id, channel from contact_replies")
    return {(*row.values(),) for row in rows}


async def test_what_became_of_an_sms_is_known_in_any_order(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, channel="sms")

    for status in ("delivered", "queued", "sent"):
        assert await recorded(rig, twilio_payload(MessageStatus=status)) == "recorded"

    assert await told(db, tenant_id) == Told("sent", "delivered", None)
    assert await recorded(rig, twilio_payload(MessageStatus="sent")) == "repeated"


@pytest.mark.parametrize(
    ("code", "reason"),
    [("30003", None), ("30005", "unreachable"), ("30007", None), ("21610", "opted out")],
)
async def test_a_failure_has_its_code(rig: Rig, db: "Db", code: str, reason: str | None) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, channel="sms")

    await recorded(rig, twilio_payload(MessageStatus="undelivered", ErrorCode=code))

    assert await told(db, tenant_id) == Told("sent", "failed", code)
    assert await suppressed(db) == ({(tenant_id, "sms", NUMBER, reason)} if reason else set())


@pytest.mark.parametrize("status", ["sending", "unconfirmed"])
async def test_a_callback_proves_an_acceptance_whose_answer_was_lost(
    rig: Rig, db: "Db", status: str
) -> None:
    tenant_id = await insert_tenant(db)
    lost = {"status": status, "provider_id": None, "sent_at": None}
    await insert_delivery(db, tenant_id, channel="sms", **lost)

    await recorded(rig, twilio_payload(MessageStatus="queued"))
    await recorded(rig, twilio_payload(MessageStatus="delivered"))

    row = await db.fetchrow("select status, provider_id from deliveries")
    assert row is not None
    assert tuple(row.values()) == ("sent", "SM1")
    template = "appointment-reminder"
    assert rig.counted.texts == [{"provider": "twilio", "template": template, "status": "sent"}]


async def test_without_our_id_an_sms_is_known_by_theirs(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, channel="sms")

    await recorded(rig, twilio_payload(query="", MessageStatus="delivered"))

    assert (await told(db, tenant_id)).outcome == "delivered"


async def test_an_sms_of_others_concerns_nobody(rig: Rig, db: "Db") -> None:
    payload = twilio_payload(MessageStatus="delivered")

    assert await recorded(rig, payload) == "unknown"
    assert await recorded(rig, twilio_payload(MessageStatus="brand-new")) == "skipped"


@pytest.mark.parametrize("word", ["STOP", "Dur", "İPTAL"])
async def test_stop_is_heard_by_who_owns_the_number(rig: Rig, db: "Db", word: str) -> None:
    owner, other = await insert_tenant(db), await insert_tenant(db)
    await set_profile(db, owner, sms_from=OUR_NUMBER)
    await set_profile(db, other, sms_from="+15005550099")
    await insert_delivery(db, other, channel="sms")

    assert await recorded(rig, inbound_payload(word)) == "stopped"

    assert await suppressed(db) == {(owner, "sms", NUMBER, "opted out")}


async def test_stop_is_also_heard_by_who_writes_from_whatever_the_settings_say(
    rig: Rig, db: "Db"
) -> None:
    """The number of the settings may be one that a tenant names, too."""
    owner, other = await insert_tenant(db), await insert_tenant(db)
    await set_profile(db, owner, sms_from=OUR_NUMBER)
    await insert_delivery(db, other, channel="sms")

    await recorded(rig, inbound_payload("STOP"))

    assert {row[0] for row in await suppressed(db)} == {owner, other}


async def test_stop_to_a_number_that_was_given_up_is_heard_all_the_same(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, channel="sms")
    await set_profile(db, tenant_id, sms_from="+15005550099")

    assert await recorded(rig, inbound_payload("STOP")) == "stopped"

    assert await suppressed(db) == {(tenant_id, "sms", NUMBER, "opted out")}


async def test_stop_to_a_shared_number_is_heard_by_all_who_wrote_from_it(
    rig: Rig, db: "Db"
) -> None:
    one, two, own, silent = [await insert_tenant(db) for _ in range(4)]
    await set_profile(db, own, sms_from="+15005550099")
    await set_profile(db, two, sms_from=None)
    for tenant_id in (one, two, own):
        await insert_delivery(db, tenant_id, channel="sms", message_id=f"m-{tenant_id}")
    await insert_delivery(db, silent, channel="sms", recipient="+905329999999", message_id="m")

    await recorded(rig, inbound_payload("STOP"))

    assert await suppressed(db) == {
        (one, "sms", NUMBER, "opted out"),
        (two, "sms", NUMBER, "opted out"),
    }


async def test_start_takes_back_what_stop_said_and_no_more(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await set_profile(db, tenant_id, sms_from=OUR_NUMBER)

    await recorded(rig, inbound_payload("STOP", at=NOW - SECOND))
    assert await recorded(rig, inbound_payload("Başla")) == "started"
    assert await suppressed(db) == set()

    await db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'sms', $2, 'by hand')",
        tenant_id,
        NUMBER,
    )
    await recorded(rig, inbound_payload("START"))
    assert await suppressed(db) == {(tenant_id, "sms", NUMBER, "by hand")}


async def test_of_stop_and_start_the_later_holds_in_whichever_order_they_are_read(
    rig: Rig, db: "Db"
) -> None:
    """The run of one may be tried again after that of the other."""
    tenant_id = await insert_tenant(db)
    await set_profile(db, tenant_id, sms_from=OUR_NUMBER)

    await recorded(rig, inbound_payload("STOP", at=NOW + 2 * SECOND))
    await recorded(rig, inbound_payload("START", at=NOW + SECOND))
    assert await suppressed(db) == {(tenant_id, "sms", NUMBER, "opted out")}

    await recorded(rig, inbound_payload("START", at=NOW + 4 * SECOND))
    await recorded(rig, inbound_payload("STOP", at=NOW + 3 * SECOND))
    assert await suppressed(db) == set()

    await recorded(rig, inbound_payload("STOP", at=NOW + 5 * SECOND))
    assert await suppressed(db) == {(tenant_id, "sms", NUMBER, "opted out")}


async def test_who_cannot_be_reached_may_say_stop_all_the_same(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, channel="sms")
    await recorded(rig, twilio_payload(MessageStatus="undelivered", ErrorCode="30005"))

    await recorded(rig, inbound_payload("STOP", at=NOW + SECOND))

    found = await suppressions_of(db, tenant_id, [("sms", NUMBER)])
    assert found == {("sms", NUMBER): Suppression("opted out", NOW + SECOND)}


async def test_a_second_stop_is_as_new_as_it_is(rig: Rig, db: "Db") -> None:
    """What began in between ends with it."""
    tenant_id = await insert_tenant(db)
    await set_profile(db, tenant_id, sms_from=OUR_NUMBER)

    for later in (0, 2, 1):
        await recorded(rig, inbound_payload("STOP", at=NOW + later * SECOND))

    found = await suppressions_of(db, tenant_id, [("sms", NUMBER)])
    assert found == {("sms", NUMBER): Suppression("opted out", NOW + 2 * SECOND)}


async def test_a_messaging_service_may_be_a_tenants_own(rig: Rig, db: "Db") -> None:
    tenant_id, service = await insert_tenant(db), "MG" + "0a" * 16
    await set_profile(db, tenant_id, sms_from=service)

    await recorded(rig, inbound_payload("x", OptOutType="STOP", MessagingServiceSid=service))

    assert await suppressed(db) == {(tenant_id, "sms", NUMBER, "opted out")}


async def test_a_reply_is_that_of_the_contact_with_the_number(rig: Rig, db: "Db") -> None:
    tenant_id, other = await insert_tenant(db), await insert_tenant(db)
    await set_profile(db, tenant_id, sms_from=OUR_NUMBER)
    contact_id = await insert_contact(db, tenant_id, "0532 123 45 67")
    await insert_contact(db, tenant_id, "+1 532 123 4567")  # ends alike, and is another
    await insert_contact(db, other, "0532 123 45 67")

    assert await recorded(rig, inbound_payload("Teşekkürler, geliyorum")) == "replied"

    assert await replies(db) == {(tenant_id, contact_id, "sms")}
    assert await suppressed(db) == set()
    assert "geliyorum" not in str(rig.logs)


async def test_a_repeated_reply_is_one(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await set_profile(db, tenant_id, sms_from=OUR_NUMBER)
    await insert_contact(db, tenant_id, NUMBER)
    payload = inbound_payload("Tamam")

    assert [await recorded(rig, payload) for _ in range(2)] == ["replied", "repeated"]
    assert len(await replies(db)) == 1


@pytest.mark.parametrize(("body", "did"), [("HELP", "helped"), ("Merhaba", "unknown")])
async def test_what_asks_for_nothing_changes_nothing(
    rig: Rig, db: "Db", body: str, did: str
) -> None:
    tenant_id = await insert_tenant(db)
    await set_profile(db, tenant_id, sms_from=OUR_NUMBER)

    assert await recorded(rig, inbound_payload(body)) == did

    assert await suppressed(db) == set()
    assert await replies(db) == set()


async def test_a_stranger_to_all_is_nobodys(rig: Rig, db: "Db") -> None:
    assert await recorded(rig, inbound_payload("STOP")) == "unknown"
    assert await suppressed(db) == set()


async def test_a_form_without_an_end_is_given_up_with_a_sentence(rig: Rig) -> None:
    payload = {**twilio_payload(), "body": "a=1&" * 2000, "query": f"message_id={SMS_ID}"}

    ended = (await rig.run(record_twilio_status, payload)).dead()

    assert "body: is no form" in str(ended)
