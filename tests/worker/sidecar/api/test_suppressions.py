"""Suppressions over HTTP: found, added and lifted, by whom, and what is told of it."""

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.conftest import Tenant
from tests.jobs.nurture.world import BOOKING, add_contact
from tests.worker.sidecar.api.conftest import (
    ADMIN_TOKEN,
    CREDENTIALS,
    Serve,
    basic,
    bearer,
    code_of,
    tenant_token,
    token,
)
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

ADMIN = bearer(ADMIN_TOKEN)
MASKED = "[redacted]"


async def suppress(
    db: "Db", tenant_id: UUID, address: str, reason: str = "unsubscribed", channel: str = "email"
) -> int:
    suppression_id: int = await db.fetchval(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, $2, $3, $4) returning suppression_id",
        tenant_id,
        channel,
        address,
        reason,
    )
    return suppression_id


async def found(http: httpx.AsyncClient, **asked: Any) -> list[int]:
    reply = await http.get("/suppressions", params=asked)
    assert reply.status_code == 200, reply.text
    return [item["suppression_id"] for item in reply.json()["items"]]


async def entries(db: "Db") -> list[dict[str, Any]]:
    rows = await db.fetch(
        "select action, outcome, principal, targets, affected, reason, error from audit_log"
        " order by audit_id"
    )
    return [dict(row) for row in rows]


async def test_they_are_listed_newest_first_in_pages_and_without_the_address(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant
) -> None:
    ids = [await suppress(db, tenant.tenant_id, f"a{n}@musteri.example") for n in range(5)]

    items: list[dict[str, Any]] = []
    after, text = None, ""
    for _ in range(3):
        params = {"limit": 2, **({"after": after} if after else {})}
        reply = await http.get("/suppressions", params=params)
        items += reply.json()["items"]
        after, text = reply.json()["next"], text + reply.text

    assert ([item["suppression_id"] for item in items], after) == (ids[::-1], None)
    assert "musteri" not in text
    assert items[0] == items[0] | {
        "tenant_id": str(tenant.tenant_id), "channel": "email", "address": MASKED,
        "reason": "unsubscribed", "is_own_wish": True,
    }  # fmt: skip


async def test_they_are_found_by_whose_where_and_why(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant
) -> None:
    one, other = tenant.tenant_id, uuid4()
    mail = await suppress(db, one, "zeynep@xn--mnchen-3ya.example")
    written = await suppress(db, one, "zeynep@münchen.example", "bounced")
    sms = await suppress(db, one, "+905321234567", "opted out", "sms")
    foreign = await suppress(db, other, "zeynep@xn--mnchen-3ya.example")

    assert await found(http, tenant_id=str(other)) == [foreign]
    assert await found(http, channel="sms") == [sms]
    assert await found(http, reason="bounced") == [written]
    assert await found(http, address=" Zeynep@MÜNCHEN.example") == [foreign, written, mail]
    for number in ("+90 532 123 45 67", " 905321234567", "00905321234567"):
        assert await found(http, address=number) == [sms]
        assert await found(http, address=number, channel="sms") == [sms]
    assert await found(http, address="+905321234567", channel="email") == []
    assert await found(http, address="nobody") == []


async def test_only_admins_see_addresses_and_that_is_audited(
    serve: Serve, db: "Db", tenant: Tenant
) -> None:
    http = await serve(**CREDENTIALS)
    await suppress(db, tenant.tenant_id, "zeynep@musteri.example")
    asked = {"reveal": "true", "address": "zeynep@musteri.example"}

    refused = await http.get("/suppressions", params=asked, headers=basic("ayse"))
    reply = await http.get("/suppressions", params=asked, headers=ADMIN)

    assert (refused.status_code, code_of(refused)) == (403, "forbidden")
    assert [item["address"] for item in reply.json()["items"]] == ["zeynep@musteri.example"]
    told = await entries(db)
    assert [(one["action"], one["outcome"]) for one in told] == [
        ("suppression.reveal", "refused"),
        ("suppression.reveal", "done"),
    ]
    assert "zeynep" not in str(told)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"address": " Zeynep@MÜNCHEN.example"}, ("zeynep@xn--mnchen-3ya.example", "blocked")),
        (
            {"address": "z@musteri.example", "requested": True},
            ("z@musteri.example", "unsubscribed"),
        ),
        ({"address": "+90 (532) 123 45 67", "channel": "sms"}, ("+905321234567", "blocked")),
        (
            {"address": "00905321234567", "channel": "sms", "requested": True},
            ("+905321234567", "opted out"),
        ),
    ],
)
async def test_an_operator_adds_one_and_the_audit_log_tells_why(
    serve: Serve, db: "Db", tenant: Tenant, given: dict[str, Any], kept: tuple[str, str]
) -> None:
    http = await serve(**CREDENTIALS)
    body = {
        "tenant_id": str(tenant.tenant_id), "channel": "email", "reason": "a call", **given,
    }  # fmt: skip

    first = await http.post("/suppressions", json=body, headers=basic("ayse"))
    again = await http.post("/suppressions", json=body, headers=basic("ayse"))

    assert (first.status_code, again.status_code) == (201, 200)
    assert {**again.json(), "created_at": first.json()["created_at"]} == first.json()
    assert again.json()["created_at"] > first.json()["created_at"]  # and outlives what came between
    assert first.json()["address"] == MASKED
    row = await db.fetchrow("select suppression_id, address, reason from suppressions")
    assert row is not None
    assert (row["address"], row["reason"]) == kept
    told = await entries(db)
    channel = body["channel"]
    targets = [str(tenant.tenant_id), str(row["suppression_id"]), channel]
    assert [(one["action"], one["targets"], one["affected"]) for one in told] == [
        ("suppression.add", targets, 1),
        ("suppression.add", targets, 0),
    ]
    assert {(one["reason"], one["principal"], one["outcome"]) for one in told} == {
        ("a call", "ayse", "done")
    }


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"address": "İlker@musteri.example"}, "address"),
        ({"address": "zeynep"}, "address"),
        ({"address": "0532 123 45 67", "channel": "sms"}, "address"),
        ({"address": "zeynep@musteri.example", "channel": "sms"}, "address"),
        ({"channel": "fax"}, "channel"),
        ({"reason": ""}, "reason"),
        ({"reason": None}, "reason"),
        ({"tenant_id": None}, "tenant_id"),
    ],
)
async def test_what_does_not_fit_is_named_and_not_quoted(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant, wrong: dict[str, Any], named: str
) -> None:
    body = {
        "tenant_id": str(tenant.tenant_id),
        "channel": "email",
        "address": "zeynep@musteri.example",
        "reason": "a call",
        **wrong,
    }

    reply = await http.post("/suppressions", json=body)

    assert (reply.status_code, code_of(reply)) == (422, "invalid")
    assert list(reply.json()["error"]["fields"]) == [named]
    assert "musteri" not in reply.text
    assert await db.fetchval("select count(*) from suppressions") == 0


@pytest.mark.parametrize("reason", ["bounced", "unreachable", "blocked"])
async def test_an_address_that_works_again_is_lifted_with_a_reason(
    serve: Serve, db: "Db", tenant: Tenant, reason: str
) -> None:
    http = await serve(**CREDENTIALS)
    one = await suppress(db, tenant.tenant_id, "zeynep@musteri.example", reason)
    wish = await suppress(db, tenant.tenant_id, "zeynep@musteri.example", "unsubscribed")
    path = f"/suppressions/{one}/lift"

    silent = await http.post(path, json={}, headers=basic("ayse"))
    reply = await http.post(path, json={"reason": "mailbox is back"}, headers=basic("ayse"))
    gone = await http.post(path, json={"reason": "mailbox is back"}, headers=basic("ayse"))

    assert (silent.status_code, list(silent.json()["error"]["fields"])) == (422, ["reason"])
    assert reply.json() == {"suppression_id": one, "still": ["unsubscribed"]}
    assert (gone.status_code, code_of(gone)) == (404, "not_found")
    assert [row[0] for row in await db.fetch("select suppression_id from suppressions")] == [wish]
    done = [told for told in await entries(db) if told["outcome"] == "done"]
    assert [(told["targets"], told["affected"], told["reason"]) for told in done] == [
        ([str(one)], 1, "mailbox is back")
    ]


@pytest.mark.parametrize(
    "reason", ["unsubscribed", "group unsubscribed", "complained", "opted out", "by hand"]
)
async def test_what_somebody_said_themselves_takes_their_consent(
    serve: Serve, db: "Db", tenant: Tenant, reason: str
) -> None:
    http = await serve(**CREDENTIALS)
    one = await suppress(db, tenant.tenant_id, "zeynep@musteri.example", reason)
    path = f"/suppressions/{one}/lift"

    refused = await http.post(path, json={"reason": "a good deal"}, headers=basic("ayse"))

    assert (refused.status_code, code_of(refused)) == (409, "consent_needed")
    assert "`consented`" in refused.json()["error"]["message"]
    assert await db.fetchval("select count(*) from suppressions") == 1
    (told,) = await entries(db)
    assert (told["outcome"], told["error"]) == ("refused", "consent_needed")
    asked = {"reason": "signed up in the shop", "consented": True}
    assert (await http.post(path, json=asked, headers=basic("ayse"))).status_code == 200
    assert await db.fetchval("select count(*) from suppressions") == 0


async def test_a_tenants_people_see_and_change_their_own(
    serve: Serve, db: "Db", tenant: Tenant
) -> None:
    http = await serve(**CREDENTIALS)
    other = uuid4()
    await db.execute("insert into tenants (tenant_id, name) values ($1, 'Acme')", other)
    own = await suppress(db, tenant.tenant_id, "zeynep@musteri.example", "bounced")
    foreign = await suppress(db, other, "zeynep@musteri.example", "bounced")
    http.headers.update(tenant_token(tenant.tenant_id))
    new = {"channel": "email", "address": "ada@musteri.example", "reason": "a call"}

    assert await found(http) == [own]
    assert await found(http, address="zeynep@musteri.example") == [own]
    asked = await http.get("/suppressions", params={"tenant_id": str(other)})
    added = await http.post("/suppressions", json={**new, "tenant_id": str(other)})
    lifted = await http.post(f"/suppressions/{foreign}/lift", json={"reason": "x"})
    assert [one.status_code for one in (asked, added, lifted)] == [404, 404, 404]
    assert (await http.post("/suppressions", json=new)).json()["tenant_id"] == str(tenant.tenant_id)
    reply = await http.post(f"/suppressions/{own}/lift", json={"reason": "x"})
    assert reply.json() == {"suppression_id": own, "still": []}


async def test_a_tenant_that_is_not_there_has_none(http: httpx.AsyncClient, db: "Db") -> None:
    new = {"channel": "email", "address": "ada@musteri.example", "reason": "a call"}

    reply = await http.post("/suppressions", json={**new, "tenant_id": str(uuid4())})

    assert (reply.status_code, code_of(reply)) == (404, "not_found")
    assert await db.fetchval("select count(*) from suppressions") == 0
    assert [told["outcome"] for told in await entries(db)] == ["refused"]


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [({}, (401, 401, 401)), (bearer(token("viewer")), (200, 403, 403))],
    ids=["nobody", "viewer"],
)
async def test_viewers_look_and_operators_change(
    serve: Serve, headers: dict[str, str], statuses: tuple[int, int, int]
) -> None:
    http = await serve(**CREDENTIALS)
    new = {
        "tenant_id": str(uuid4()), "channel": "email", "address": "a@b.example", "reason": "x",
    }  # fmt: skip

    replies = [
        await http.get("/suppressions", headers=headers),
        await http.post("/suppressions", json=new, headers=headers),
        await http.post("/suppressions/1/lift", json={"reason": "x"}, headers=headers),
    ]

    assert tuple(reply.status_code for reply in replies) == statuses


async def test_of_many_who_add_or_lift_at_once_one_does(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant
) -> None:
    new = {
        "tenant_id": str(tenant.tenant_id), "channel": "email", "address": "a@b.example",
        "reason": "a call",
    }  # fmt: skip

    added = await asyncio.gather(*(http.post("/suppressions", json=new) for _ in range(8)))
    ids = {reply.json()["suppression_id"] for reply in added}
    assert len(ids) == 1
    path = f"/suppressions/{ids.pop()}/lift"
    lifted = await asyncio.gather(*(http.post(path, json={"reason": "x"}) for _ in range(8)))

    assert sorted(reply.status_code for reply in added) == [200] * 7 + [201]
    assert sorted(reply.status_code for reply in lifted) == [200] + [404] * 7
    assert await db.fetchval("select count(*) from suppressions") == 0


async def test_nothing_is_sent_until_it_is_lifted(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant
) -> None:
    contact_id = await add_contact(db, tenant.tenant_id, email="Zeynep@MÜNCHEN.example")
    step = {
        "tenant_id": str(tenant.tenant_id), "contact_id": str(contact_id), "sequence_step": 1,
        "template": "nurture_welcome", "personalization": BOOKING,
    }  # fmt: skip
    new = {
        "tenant_id": str(tenant.tenant_id), "channel": "email", "reason": "a call",
        "address": "zeynep@xn--mnchen-3ya.example",
    }  # fmt: skip
    added = (await http.post("/suppressions", json=new)).json()

    with Rig(db=db) as rig:
        (await rig.run("nurture.send_step", step)).cancelled()
        assert rig.mails == []
        path = f"/suppressions/{added['suppression_id']}/lift"
        await http.post(path, json={"reason": "another call"})
        (await rig.run("nurture.send_step", step)).succeeded()

        assert [one.mail.to for one in rig.mails] == ["Zeynep@MÜNCHEN.example"]
