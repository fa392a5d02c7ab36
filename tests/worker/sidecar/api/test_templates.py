"""Templates over HTTP: a tenant's own words are tried, kept, put into effect and taken back."""

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from jobs.messaging import queries
from jobs.messaging.queries import Key
from tests.conftest import Tenant
from tests.worker.sidecar.api.conftest import CREDENTIALS, Serve, code_of, tenant_token

if TYPE_CHECKING:
    import asyncpg

KEY = Key("welcome", "tr", "email")
WORDS = {
    "language": "tr",
    "channel": "email",
    "subject": "Selam {{ name }}",
    "text": "{{ tenant }}",
}


async def stored(http: httpx.AsyncClient, tenant_id: UUID, **changes: Any) -> httpx.Response:
    body = {**WORDS, "tenant_id": str(tenant_id), **changes}
    return await http.post("/templates/welcome/versions", json=body)


async def test_the_list_tells_what_a_template_may_ask_for(http: httpx.AsyncClient) -> None:
    items = (await http.get("/templates")).json()["items"]

    (welcome,) = [one for one in items if one["name"] == "welcome"]
    assert welcome == {
        "name": "welcome",
        "kind": "welcome",
        "channels": ["email"],
        "languages": ["en", "tr"],
        "names": [
            "language",
            "name",
            "postal_address",
            "reply_to",
            "sign_in_url",
            "tenant",
            "unsubscribe_url",
        ],
        "active": [],
    }


async def test_own_words_take_effect_and_are_told_of(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    made = await stored(http, tenant.tenant_id)

    assert (made.status_code, made.json()) == (201, {"version": 1})
    active = await queries.active_override(db, tenant.tenant_id, KEY)
    assert active is not None
    assert active.subject == "Selam {{ name }}"
    listed = await http.get("/templates", params={"tenant_id": str(tenant.tenant_id)})
    (welcome,) = [one for one in listed.json()["items"] if one["name"] == "welcome"]
    assert welcome["active"] == [{"language": "tr", "channel": "email", "version": 1}]
    entry = await db.fetchrow("select * from audit_log")
    assert entry is not None
    assert (entry["action"], entry["outcome"]) == ("template.store", "done")
    assert "Selam" not in str(dict(entry))


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"text": "{{ amount }}"}, "text", "there is no amount; there are language"),
        ({"subject": "{{ name"}, "subject", "line 1"),
        ({"html": "{{ ''.__class__ }}"}, "html", "no name begins with _"),
        ({"html": "{{ 'a' * 1000000000 }}"}, "html", "is for numbers"),
        ({"text": None}, "text", "a mail has a text, HTML, or both"),
        ({"channel": "sms"}, "channel", "goes by email"),
        ({"language": "de"}, "language", ""),
    ],
)
async def test_words_that_will_not_work_are_refused_beside_their_field(
    http: httpx.AsyncClient,
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant: Tenant,
    changes: dict[str, Any],
    field: str,
    sentence: str,
) -> None:
    reply = await stored(http, tenant.tenant_id, **changes)

    assert (reply.status_code, code_of(reply)) == (422, "invalid")
    assert sentence in reply.json()["error"]["fields"][field]
    assert await db.fetchval("select count(*) from message_templates") == 0


async def test_words_that_burn_time_are_refused(http: httpx.AsyncClient, tenant: Tenant) -> None:
    endless = "{% macro m(n) %}{% if n %}{{ m(n-1) ~ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}"

    reply = await stored(http, tenant.tenant_id, text=endless)

    assert reply.status_code == 422
    assert "longer than 2 seconds" in reply.json()["error"]["fields"]["text"]


async def test_another_version_takes_effect_and_then_none(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    for text in ("a", "b", "c"):
        await stored(http, tenant.tenant_id, text=text)
    which = {"tenant_id": str(tenant.tenant_id), "language": "tr", "channel": "email"}

    first = await http.post("/templates/welcome/activate", json={**which, "version": 1})
    assert (first.status_code, first.json()) == (200, {"version": 1})
    page = await http.get("/templates/welcome/versions", params={**which, "limit": 2})
    shown = [(one["version"], one["is_active"], one["text"]) for one in page.json()["items"]]
    assert shown == [(3, False, "c"), (2, False, "b")]
    more = {**which, "after": page.json()["next"]}
    rest = (await http.get("/templates/welcome/versions", params=more)).json()
    assert [(one["version"], one["is_active"]) for one in rest["items"]] == [(1, True)]
    assert rest["next"] is None

    gone = await http.post("/templates/welcome/deactivate", json=which)
    assert (gone.status_code, gone.json()) == (200, {"version": 1})
    assert await queries.active_override(db, tenant.tenant_id, KEY) is None
    actions = await db.fetch("select action from audit_log order by audit_id desc limit 2")
    assert [row["action"] for row in actions] == ["template.deactivate", "template.activate"]


async def test_what_is_not_there_is_not_found(http: httpx.AsyncClient, tenant: Tenant) -> None:
    which = {"tenant_id": str(tenant.tenant_id), "language": "tr", "channel": "email"}

    replies = [
        await http.post("/templates/welcome/activate", json={**which, "version": 7}),
        await http.post("/templates/nothing/deactivate", json=which),
        await http.get("/templates/nothing/versions", params=which),
        await stored(http, uuid4()),
        await http.post("/templates/welcome/deactivate", json={**which, "tenant_id": str(uuid4())}),
    ]

    assert [reply.status_code for reply in replies] == [404] * 5


async def test_a_tenant_has_words_for_itself_alone(
    serve: Serve, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    own = await serve(**CREDENTIALS)
    own.headers.update(tenant_token(tenant.tenant_id))
    other = await serve(**CREDENTIALS)
    other.headers.update(tenant_token(uuid4()))

    made = await own.post("/templates/welcome/versions", json=WORDS)
    assert made.status_code == 201
    assert await db.fetchval("select tenant_id from message_templates") == tenant.tenant_id
    assert (await stored(other, tenant.tenant_id)).status_code == 404
    which = {"language": "tr", "channel": "email"}
    theirs = await other.get("/templates/welcome/versions", params=which)
    assert theirs.json()["items"] == []


async def test_whoever_is_bound_to_no_tenant_has_to_say_which(http: httpx.AsyncClient) -> None:
    reply = await http.post("/templates/welcome/versions", json=WORDS)

    assert reply.json()["error"]["fields"] == {"tenant_id": "say whose templates"}


PAGE = "<html><body><p>{{ tenant }}</p>%s</body></html>"
WAY_OUT = '<a href="{{ unsubscribe_url }}">x</a>'


async def test_the_senders_address_is_the_tenants_own(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    without = await stored(http, tenant.tenant_id, text=None, html=PAGE % WAY_OUT)
    await db.execute(
        "insert into messaging_profiles (tenant_id, postal_address) values ($1, 'Cadde 1, İzmir')",
        tenant.tenant_id,
    )
    refused = await stored(http, tenant.tenant_id, text=None, html=PAGE % WAY_OUT)
    written = await stored(
        http, tenant.tenant_id, text=None, html=PAGE % f"<p>Cadde 1<br>İzmir</p>{WAY_OUT}"
    )

    assert (without.status_code, written.status_code) == (201, 201)
    assert "postal address" in refused.json()["error"]["fields"]["html"]


async def test_a_page_that_hides_its_way_out_is_refused(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    hidden = PAGE % f'<div style="display:none">{WAY_OUT}</div>'

    refused = await stored(http, tenant.tenant_id, html=hidden)

    assert refused.status_code == 422
    assert "no link to unsubscribe" in refused.json()["error"]["fields"]["html"]


async def test_a_demand_for_payment_needs_no_way_out(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    body = {**WORDS, "tenant_id": str(tenant.tenant_id), "html": PAGE % "", "text": None}

    made = await http.post("/templates/payment_reminder/versions", json=body)

    assert made.status_code == 201


async def test_an_older_version_is_tried_again(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    await stored(http, tenant.tenant_id)
    await stored(http, tenant.tenant_id, text="b")
    await db.execute("update message_templates set html = $1 where version = 1", PAGE % "")
    which = {"tenant_id": str(tenant.tenant_id), "language": "tr", "channel": "email"}

    refused = await http.post("/templates/welcome/activate", json={**which, "version": 1})

    assert refused.status_code == 422
    assert list(refused.json()["error"]["fields"]) == ["html"]
    active = await queries.active_override(db, tenant.tenant_id, KEY)
    assert active is not None
    assert active.version == 2


async def test_the_products_own_notices_have_no_words_of_tenants(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    body = {**WORDS, "tenant_id": str(tenant.tenant_id)}

    refused = await http.post("/templates/admin_notice/versions", json=body)

    assert (refused.status_code, code_of(refused)) == (422, "invalid")
    assert "no tenant words it" in refused.json()["error"]["message"]
