from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from jobs.dunning.send_payment_reminder import send_payment_reminder
from jobs.dunning.send_payment_request import PaymentRequest, send_payment_request
from jobs.kit import PayloadError, discover
from tests.conftest import Tenant
from tests.jobs.dunning.rows import NOW, insert, insert_contact, insert_invoice
from worker.ending import Reason
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

IDS = {"orgId": str(uuid4()), "contactId": str(uuid4())}
OTHERS = {"amount": 1250.5, "daysOverdue": 12, "paymentLink": "https://pay.example/i/42"}


@pytest.fixture
def request_(tenant: Tenant, contact_id: UUID) -> dict[str, Any]:
    """As the CRM sends it: by its own names, and with nothing more."""
    return {"orgId": str(tenant.tenant_id), "contactId": str(contact_id), **OTHERS}


def test_the_older_name_runs_it() -> None:
    assert discover()["process-dunning"] is send_payment_request
    assert send_payment_request.queue == "dunning"


async def test_the_crms_payload_is_one_mail(
    rig: Rig, db: "Pool", request_: dict[str, Any], contact_id: UUID
) -> None:
    sent = (await rig.run("process-dunning", request_)).succeeded()

    assert sent == {"results": [{"channel": "email", "status": "sent"}]}
    (mail,) = [one.mail for one in rig.mails]
    assert mail.to == "zeynep@musteri.example"
    assert "₺1.250,50" in mail.subject  # the tenant is in Turkey
    assert "12 gündür gecikmede" in mail.text  # firm, as the second stage is
    assert 'href="https://pay.example/i/42"' in (mail.html or "")
    assert "None" not in mail.text
    key = await db.fetchval("select key from deliveries")
    assert key == f"dunning:{contact_id}:{NOW.date()}"


async def test_our_own_names_do_as_well(rig: Rig, tenant: Tenant, contact_id: UUID) -> None:
    payload = {
        "tenant_id": str(tenant.tenant_id),
        "contact_id": str(contact_id),
        "amount": "99.90",
        "currency": "usd",
        "days_overdue": 1,
        "payment_link": "https://pay.example/",
    }

    (await rig.run(send_payment_request, payload)).succeeded()

    assert "Ödenecek tutar: $99,90" in rig.mails[0].mail.text


async def test_one_a_day_and_contact_whatever_the_amount(
    rig: Rig, request_: dict[str, Any]
) -> None:
    (await rig.run(send_payment_request, request_)).succeeded()
    again = await rig.run(send_payment_request, {**request_, "amount": 7})
    rig.clock.move(days=1)
    (await rig.run(send_payment_request, {**request_, "daysOverdue": 13})).succeeded()

    assert "sent already" in again.cancelled()
    assert len(rig.mails) == 2


@pytest.mark.parametrize(
    "change",
    [
        "update contacts set email = 'new@musteri.example'",
        (
            "insert into suppressions (tenant_id, channel, address, reason)"
            " select tenant_id, 'email', email, 'bounced' from contacts"
        ),
    ],
    ids=["moved", "bounced"],
)
async def test_it_is_one_a_day_by_whatever_way(
    rig: Rig, db: "Pool", request_: dict[str, Any], change: str
) -> None:
    (await rig.run(send_payment_request, request_)).succeeded()
    await db.execute(change)

    assert "sent already" in (await rig.run(send_payment_request, request_)).cancelled()
    assert (len(rig.mails), len(rig.texts)) == (1, 0)


async def test_an_invoices_reminder_and_a_request_are_one_a_day(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID, request_: dict[str, Any]
) -> None:
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id)
    reminder = {
        "tenant_id": str(tenant.tenant_id),
        "contact_id": str(contact_id),
        "invoice_id": str(invoice_id),
        "step": 2,
    }

    (await rig.run(send_payment_request, request_)).succeeded()
    ended = await rig.run(send_payment_reminder, reminder)

    assert "today already" in ended.cancelled()
    assert len(rig.mails) == 1


@pytest.mark.parametrize(
    ("currency", "country", "said"),
    [("EUR", "TR", "€1.250,50"), (None, "JP", "¥1.251"), (None, "US", "$1.250,50")],
)
async def test_without_a_currency_it_is_the_tenants(
    rig: Rig, db: "Pool", request_: dict[str, Any], currency: str | None, country: str, said: str
) -> None:
    await db.execute("update messaging_profiles set currency = $1, country = $2", currency, country)

    (await rig.run(send_payment_request, request_)).succeeded()

    assert said in rig.mails[0].mail.text


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("delete from messaging_profiles", "currency: is not in the payload"),
        ("update messaging_profiles set currency = 'XYZ'", "messaging_profiles.currency"),
        ("update messaging_profiles set payment_hosts = '{}'", "payment_link: leads to a host"),
    ],
    ids=["no_profile", "currency", "hosts"],
)
async def test_what_cannot_be_known_is_named_and_not_guessed(
    rig: Rig, db: "Pool", request_: dict[str, Any], change: str, names: str
) -> None:
    await db.execute(change)

    ended = await rig.run(send_payment_request, request_)

    assert names in ended.dead().message
    assert ended.reason == Reason.REJECTED
    assert "pay.example" not in str(ended)
    assert rig.mails == []


async def test_less_than_the_smallest_coin_is_no_amount(rig: Rig, request_: dict[str, Any]) -> None:
    ended = await rig.run(send_payment_request, {**request_, "amount": "0.4", "currency": "JPY"})

    assert "amount" in ended.dead().message


@pytest.mark.parametrize("state", ["paid", "disputed", "void"])
async def test_who_has_nothing_open_here_is_not_asked(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID, request_: dict[str, Any], state: str
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id, state=state)

    assert (
        "no invoice of this contact is open"
        in (await rig.run(send_payment_request, request_)).cancelled()
    )
    await insert_invoice(db, tenant.tenant_id, contact_id)
    (await rig.run(send_payment_request, request_)).succeeded()


async def test_holds_and_strangers_are_respected(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID, request_: dict[str, Any]
) -> None:
    ids = {"tenant_id": tenant.tenant_id, "contact_id": contact_id}
    await insert(db, "dunning_holds", **ids, state="paused", since=NOW)
    await insert(db, "tenants", tenant_id=(other := uuid4()), name="Acme")
    theirs = await insert_contact(db, other)

    held = await rig.run(send_payment_request, request_)
    stranger = await rig.run(send_payment_request, {**request_, "contactId": str(theirs)})

    assert "dunning is paused" in held.cancelled()
    assert "no such contact" in stranger.cancelled()
    assert rig.mails == []


async def test_the_last_stages_go_by_sms_too(
    rig: Rig, request_: dict[str, Any], clock: Clock
) -> None:
    sent = (await rig.run(send_payment_request, {**request_, "daysOverdue": 45})).succeeded()

    assert [one["channel"] for one in sent["results"]] == ["email", "sms"]
    assert [one["status"] for one in sent["results"]] == ["sent", "sent"]
    assert "1.250,50 TL" in rig.texts[0].body
    assert clock() - NOW == timedelta(0)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("amount", 0, "amount"),
        ("amount", -5, "amount"),
        ("amount", "NaN", "amount"),
        ("amount", float("nan"), "amount"),
        ("amount", "1.250,50", "amount"),
        ("amount", True, "amount"),
        ("amount", None, "amount"),
        ("amount", {"value": 5}, "amount"),
        ("currency", "XYZ", "currency"),
        ("currency", "₺", "currency"),
        ("currency", 5, "currency"),
        ("daysOverdue", 0, "days_overdue"),
        ("daysOverdue", -3, "days_overdue"),
        ("daysOverdue", 10**6, "days_overdue"),
        ("daysOverdue", "soon", "days_overdue"),
        ("paymentLink", "http://pay.example/secret", "payment_link"),
        ("paymentLink", "javascript:secret", "payment_link"),
        ("paymentLink", "https://u:secret@pay.example/", "payment_link"),
        ("paymentLink", None, "payment_link"),
        ("orgId", "x", "tenant_id"),
        ("contactId", "x", "contact_id"),
        ("invoice", "x", "invoice"),
    ],
    ids=repr,
)
def test_a_payload_that_does_not_fit_names_its_field_and_shows_no_value(
    field: str, value: Any, named: str
) -> None:
    with pytest.raises(PayloadError, match=named) as refused:
        send_payment_request.validate({**IDS, **OTHERS, field: value})

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("amount", "read"), [(1250.1, "1250.1"), (0.1 + 0.2, "0.3"), ("1250.10", "1250.10"), (7, "7")]
)
def test_the_amount_is_exact_also_after_a_way_through_json(amount: Any, read: str) -> None:
    payload = send_payment_request.validate({**IDS, **OTHERS, "amount": amount})

    assert payload.amount == Decimal(read)
    assert payload.model_dump(mode="json")["amount"] == read
    assert PaymentRequest.model_validate(payload.model_dump(mode="json")) == payload


def test_what_is_asked_for_is_never_shown() -> None:
    assert send_payment_request.sensitive == {"amount", "payment_link"}


async def test_a_retry_after_midnight_is_the_same_message(
    rig: Rig, db: "Pool", request_: dict[str, Any]
) -> None:
    rig.clock.move(hours=12, minutes=59)  # 23:59 in Istanbul
    asked_at = rig.clock()
    await rig.run(send_payment_request, request_, run_id="asked", enqueued_at=asked_at)
    # As a worker leaves it that dies between handing over and noting it down.
    await db.execute("update deliveries set status = 'sending'")
    await db.execute("delete from dunning_turns")
    rig.outbox.is_repeatable = False
    rig.clock.move(minutes=2)

    ended = await rig.run(
        send_payment_request, request_, run_id="asked", attempt=2, enqueued_at=asked_at
    )

    assert "may have been sent" in str(ended)
    assert len(rig.mails) == 1


async def test_what_is_paid_while_the_relay_is_reached_is_not_asked_for(
    rig: Rig, db: "Pool", tenant: Tenant, request_: dict[str, Any]
) -> None:
    await insert_invoice(db, tenant.tenant_id, UUID(request_["contactId"]))
    rig.outbox.meanwhile = partial(db.execute, "update invoices set state = 'paid'")

    ended = await rig.run(send_payment_request, request_)

    assert "no invoice of this contact is open" in str(ended)
    assert rig.mails == []


async def test_requests_that_were_put_off_are_each_of_their_own_day(
    rig: Rig, request_: dict[str, Any]
) -> None:
    for days in range(3):  # all were enqueued now
        rig.clock.move_to(NOW + timedelta(days=days))
        ended = await rig.run(
            send_payment_request,
            {**request_, "daysOverdue": 12 + days},
            run_id=f"put off {days}",
            enqueued_at=NOW,
        )
        assert ended.succeeded() == {"results": [{"channel": "email", "status": "sent"}]}

    assert len(rig.mails) == 3
