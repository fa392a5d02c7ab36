from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from jobs.kit import PayloadError, discover
from jobs.nurture.send_step import send_step
from tests.conftest import Tenant
from tests.jobs.nurture.world import BOOKING, Stage, add_contact, suppress
from worker.ending import Reason

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


def legacy(tenant: Tenant, contact: UUID, **changes: Any) -> dict[str, Any]:
    return {
        "orgId": str(tenant.tenant_id),
        "contactId": str(contact),
        "sequenceStep": 2,
        "template": "nurture_welcome",
        "personalization": BOOKING,
        **changes,
    }


async def add_template(db: "Db", tenant: Tenant, name: str, **parts: str) -> None:
    await db.execute(
        """
        insert into message_templates (tenant_id, name, language, channel, version, subject, text,
                                       is_active, created_by)
        values ($1, $2, 'tr', 'email', 1, $3, $4, true, 'test')
        """,
        tenant.tenant_id,
        name,
        parts["subject"],
        parts["text"],
    )


def test_the_older_name_runs_it() -> None:
    assert discover()["process-nurture"] is send_step


async def test_the_older_services_fields_send_the_template_once(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)

    told = [
        (await stage.rig.run("process-nurture", legacy(tenant, contact))).succeeded()
        for _ in range(2)
    ]

    assert [one["results"] for one in told] == [
        [{"channel": "email", "status": "sent"}],
        [{"channel": "email", "status": "already_sent"}],
    ]
    (sent,) = stage.rig.mails
    assert sent.mail.subject == f"{tenant.name}: ilginiz için teşekkür ederiz"
    assert sent.mail.unsubscribe_url is not None


async def test_our_own_names_are_the_same_message(db: "Db", stage: Stage, tenant: Tenant) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    ours = {
        "tenant_id": str(tenant.tenant_id),
        "contact_id": str(contact),
        "sequence_step": 2,
        "template": "nurture_welcome",
        "personalization": BOOKING,
    }

    (await stage.rig.run(send_step, legacy(tenant, contact))).succeeded()
    (await stage.rig.run(send_step, ours)).succeeded()
    assert len(stage.rig.mails) == 1
    for another in ({"sequence_step": 3}, {"occasion": "2027"}):
        (await stage.rig.run(send_step, {**ours, **another})).succeeded()

    assert len(stage.rig.mails) == 3


async def test_a_name_means_a_template_of_sequences(db: "Db", stage: Stage, tenant: Tenant) -> None:
    """There is a `welcome` for users, too: its values are its own job's matter."""
    contact = await add_contact(db, tenant.tenant_id)
    payload = legacy(tenant, contact, template="welcome")

    (await stage.rig.run(send_step, payload)).succeeded()

    assert [sent.mail.template for sent in stage.rig.mails] == ["nurture-welcome"]


async def test_a_variable_that_is_missing_is_named_with_its_template(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    await add_template(
        db, tenant, "nurture_spring", subject="Bahar", text="Merhaba {{ name }}, {{ offer }}"
    )

    built_in = await stage.rig.run(send_step, legacy(tenant, contact, personalization={}))
    own = await stage.rig.run(send_step, legacy(tenant, contact, template="nurture_spring"))

    assert built_in.reason == own.reason == Reason.REJECTED
    assert "nurture_welcome" in built_in.dead().message
    assert "booking_url" in built_in.dead().message
    assert "nurture_spring" in own.dead().message
    assert "offer" in own.dead().message
    assert stage.rig.mails == []


async def test_what_callers_give_is_text_and_no_template(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    await add_template(db, tenant, "nurture_spring", subject="Bahar", text="Teklif: {{ offer }}")
    given = {"offer": "{{ 7 * 7 }} <b>", "name": "somebody else"}

    payload = legacy(tenant, contact, template="nurture_spring", personalization=given)
    (await stage.rig.run(send_step, payload)).succeeded()

    (sent,) = stage.rig.mails
    assert "Teklif: {{ 7 * 7 }} <b>" in sent.mail.text
    assert "&lt;b&gt;" in sent.mail.html


async def test_a_tenants_template_does_nothing_but_say_something(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    await add_template(
        db,
        tenant,
        "nurture_spring",
        subject="Bahar",
        text="{{ ''.__class__.__mro__[1].__subclasses__() }}",
    )

    ended = await stage.rig.run(send_step, legacy(tenant, contact, template="nurture_spring"))

    assert "nurture_spring" in ended.dead().message
    assert stage.rig.mails == []


async def test_a_template_that_is_not_there_is_named(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)

    ended = await stage.rig.run(send_step, legacy(tenant, contact, template="nurture_nothing"))

    assert "nurture_nothing" in ended.dead().message


async def test_without_consent_or_after_a_way_out_nothing_is_sent(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    unwilling = await add_contact(db, tenant.tenant_id, by_email=False)
    gone = await add_contact(db, tenant.tenant_id, email="gone@example.org")
    now = stage.rig.clock()
    await suppress(db, tenant.tenant_id, "email", "gone@example.org", "unsubscribed", now)

    ends = [await stage.rig.run(send_step, legacy(tenant, one)) for one in (unwilling, gone)]

    assert [one.cancelled() for one in ends] == ["consent_withdrawn", "unsubscribe"]
    assert stage.rig.mails == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("template", "../secrets"),
        ("personalization", {"not a name": "x"}),
        ("personalization", {"offer": "x" * 2001}),
        ("sequenceStep", -1),
    ],
)
def test_a_payload_that_does_not_fit_names_its_field(field: str, value: object) -> None:
    someone = "0b8a5c44-7f7a-4f6e-9a39-2d2bd4a4d6d2"
    payload = {"orgId": someone, "contactId": someone, "sequenceStep": 1, "template": "nurture_x"}

    with pytest.raises(PayloadError) as error:
        send_step.validate({**payload, field: value})

    assert field.replace("S", "_s") in str(error.value)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "book.example"])
def test_a_link_is_one_of_the_web(tenant: Tenant, url: str) -> None:
    given = legacy(tenant, UUID(int=1), personalization={"booking_url": url})

    with pytest.raises(PayloadError, match="booking_url is an absolute http or https") as refused:
        send_step.validate(given)

    assert url not in str(refused.value)
