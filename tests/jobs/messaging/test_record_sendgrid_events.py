import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobs.messaging.core.suppression import Suppression
from jobs.messaging.queries import unsubscribe_token
from jobs.messaging.record_sendgrid_events import EventsRecorded, record_sendgrid_events
from jobs.messaging.suppressions.queries import suppressions_of
from tests.jobs.messaging.deliveries import (
    ADDRESS,
    MAIL_ID,
    NOW,
    Told,
    event,
    insert_delivery,
    insert_tenant,
    sendgrid_payload,
    suppressed,
    told,
)
from worker.suppressions import unsubscribe
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

THEN = int(NOW.timestamp()) - 1


async def recorded(rig: Rig, *events: Any) -> EventsRecorded:
    returned = (await rig.run(record_sendgrid_events, sendgrid_payload(*events))).succeeded()
    assert isinstance(returned, EventsRecorded)
    return returned


async def test_what_became_of_a_mail_is_known(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)

    did = await recorded(rig, event("processed"), event("delivered"), event("open"))

    assert did == EventsRecorded(recorded=2, repeated=0, unknown=0, skipped=1)
    assert await told(db, tenant_id) == Told("sent", "delivered", None)
    assert await db.fetchval("select outcome_at from deliveries") == NOW


@pytest.mark.parametrize(
    ("parts", "outcome", "code", "reason"),
    [
        ({"event": "bounce", "status": "5.1.1"}, "bounced", "5.1.1", "bounced"),
        ({"event": "bounce", "type": "blocked"}, "bounced", "blocked", None),
        ({"event": "deferred", "response": "400 later"}, "deferred", "400", None),
        ({"event": "dropped", "status": "5.0.0"}, "dropped", "5.0.0", None),
        ({"event": "spamreport"}, "complained", None, "complained"),
        ({"event": "unsubscribe"}, "unsubscribed", None, "unsubscribed"),
        ({"event": "group_unsubscribe"}, "unsubscribed", None, "group unsubscribed"),
    ],
)
async def test_who_wants_no_more_gets_no_more(
    rig: Rig, db: "Db", parts: dict[str, str], outcome: str, code: str | None, reason: str | None
) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)

    await recorded(rig, event(**{"kind": parts["event"], **parts}))

    assert await told(db, tenant_id) == Told("sent", outcome, code)
    assert await suppressed(db) == ({(tenant_id, "email", ADDRESS, reason)} if reason else set())


async def test_an_event_that_comes_again_changes_nothing(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)
    bounce = event("bounce")

    await recorded(rig, bounce, bounce)
    await db.execute("delete from suppressions")
    again = await recorded(rig, bounce)

    assert again == EventsRecorded(recorded=0, repeated=1, unknown=0, skipped=0)
    assert await suppressed(db) == set()


async def test_the_order_of_events_does_not_matter(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)

    await recorded(rig, event("spamreport"))
    await recorded(rig, event("delivered"), event("deferred"), event("processed"))

    assert await told(db, tenant_id) == Told("sent", "complained", None)
    assert rig.counted.outcomes == [{"provider": "sendgrid", "outcome": "complained"}]


@pytest.mark.parametrize("status", ["sending", "unconfirmed"])
async def test_a_mail_in_doubt_is_sent_when_its_provider_tells_of_it(
    rig: Rig, db: "Db", status: str
) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, status=status, provider_id=None, sent_at=None)

    await recorded(rig, event("processed"))

    row = await db.fetchrow("select status, provider_id, sent_at, outcome from deliveries")
    assert row is not None
    assert tuple(row.values()) == ("sent", "sg-1", NOW, None)


async def test_a_mail_is_counted_as_sent_once_where_an_event_tells_of_it_first(
    rig: Rig, db: "Db"
) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, status="unconfirmed", provider_id=None, sent_at=None)
    processed = event("processed")

    await recorded(rig, processed, processed, event("delivered"), event("open"))
    await recorded(rig, processed)

    template = "appointment-reminder"
    assert rig.counted.emails == [{"provider": "sendgrid", "template": template, "status": "sent"}]


@pytest.mark.parametrize("status", ["sent", "rejected", "suppressed"])
async def test_an_event_counts_no_mail_whose_end_was_known(rig: Rig, db: "Db", status: str) -> None:
    await insert_delivery(db, await insert_tenant(db), status=status, provider_id=None)

    await recorded(rig, event("processed"), event("delivered"))

    assert rig.counted.emails == []


async def test_a_mail_over_their_relay_is_known_by_its_header(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    lost: dict[str, Any] = {
        "status": "unconfirmed",
        "provider": "smtp",
        "provider_id": None,
        "sent_at": None,
    }
    await insert_delivery(db, tenant_id, **lost)

    await recorded(rig, event("delivered", **{"message_id": None, "smtp-id": MAIL_ID}))

    assert await told(db, tenant_id) == Told("sent", "delivered", None)
    assert await db.fetchval("select provider_id from deliveries") is None  # the relay's own


@pytest.mark.parametrize("status", ["suppressed", "rejected"])
async def test_what_was_not_sent_stays_so(rig: Rig, db: "Db", status: str) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id, status=status)

    await recorded(rig, event("processed"))

    assert (await told(db, tenant_id)).status == status


async def test_without_our_id_a_mail_is_known_by_theirs(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)

    await recorded(rig, event("delivered", message_id=None))

    assert (await told(db, tenant_id)).outcome == "delivered"


async def test_events_about_mails_of_others_concern_nobody(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)

    stranger = event("bounce", message_id="<x@else.example>", sg_message_id="other.1")
    did = await recorded(rig, stranger)

    assert did.unknown == 1
    assert await told(db, tenant_id) == Told("sent", None, None)
    assert await suppressed(db) == set()


async def test_a_group_that_is_joined_again_takes_back_its_leaving_alone(
    rig: Rig, db: "Db"
) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)

    left, joined = event("group_unsubscribe", timestamp=THEN), event("group_resubscribe")
    await recorded(rig, left, joined)
    assert await suppressed(db) == set()

    tenant_id, mail = await insert_tenant(db), {"message_id": "<2@ours.example>"}
    await insert_delivery(db, tenant_id, **mail)
    left = event("group_unsubscribe", timestamp=THEN, **mail)
    await recorded(rig, left, event("unsubscribe", timestamp=THEN, **mail))
    await recorded(rig, event("group_resubscribe", **mail))
    assert await suppressed(db) == {(tenant_id, "email", ADDRESS, "unsubscribed")}


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_of_leaving_and_joining_again_the_later_holds_in_whichever_order_they_come(
    rig: Rig, db: "Db", *, is_one_batch: bool
) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)
    told = [
        event("group_unsubscribe", timestamp=THEN - 60),
        event("group_resubscribe", timestamp=THEN - 300),
    ]

    for batch in [told] if is_one_batch else [[one] for one in told]:
        await recorded(rig, *batch)
    assert await suppressed(db) == {(tenant_id, "email", ADDRESS, "group unsubscribed")}

    await recorded(rig, event("group_resubscribe", timestamp=THEN))
    await recorded(rig, event("group_unsubscribe", timestamp=THEN - 30))
    assert await suppressed(db) == set()


async def test_joining_a_group_again_takes_back_no_way_out_of_ours(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)
    await recorded(rig, event("group_unsubscribe", timestamp=THEN - 600))
    token = await unsubscribe_token(db, tenant_id, ADDRESS, "en")
    await unsubscribe(db, token, NOW)

    await recorded(rig, event("group_resubscribe", timestamp=THEN - 300))

    assert await suppressed(db) == {(tenant_id, "email", ADDRESS, "unsubscribed")}


async def test_whose_mailbox_bounced_may_leave_all_the_same(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)
    await recorded(rig, event("bounce", timestamp=THEN))

    token = await unsubscribe_token(db, tenant_id, ADDRESS, "en")
    await unsubscribe(db, token, NOW)
    (known,) = (await suppressions_of(db, tenant_id, [("email", ADDRESS)])).values()
    assert known == Suppression("unsubscribed", NOW)

    await recorded(rig, event("spamreport", timestamp=THEN - 10))
    assert ("email", ADDRESS, "complained") in {one[1:] for one in await suppressed(db)}


async def test_what_is_said_to_happen_in_time_to_come_can_be_taken_back(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)
    await recorded(rig, event("group_unsubscribe", timestamp=THEN + 10**9))

    assert await db.fetchval("select created_at from suppressions") == NOW


async def test_a_bad_event_loses_no_other(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)

    did = await recorded(rig, 7, {"event": []}, event("delivered"), {"event": "renamed"})

    assert (did.recorded, did.skipped) == (1, 3)
    assert (await told(db, tenant_id)).outcome == "delivered"


async def test_what_is_no_json_is_given_up_with_a_sentence(rig: Rig) -> None:
    payload = {**sendgrid_payload(), "body": "event=delivered"}

    ended = (await rig.run(record_sendgrid_events, payload)).dead()

    assert "body: is not JSON" in str(ended)


async def test_two_deliveries_of_the_same_events_at_once_record_them_once(
    rig: Rig, db: "Db"
) -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)
    events = [event("processed"), event("deferred"), event("delivered")]

    both = await asyncio.gather(*(recorded(rig, *events) for _ in range(2)))

    assert sum(one.recorded for one in both) == sum(one.repeated for one in both) == 3


async def test_nothing_personal_is_logged(rig: Rig, db: "Db") -> None:
    tenant_id = await insert_tenant(db)
    await insert_delivery(db, tenant_id)

    await recorded(rig, event("bounce", reason=f"550 {ADDRESS}"), event("open"), {"event": ADDRESS})

    assert ADDRESS not in str(rig.logs)
    assert await db.fetchval("select outcome_code from deliveries") == "550"
