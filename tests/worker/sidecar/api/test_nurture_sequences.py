"""Editing nurture sequences over HTTP, and what becomes of the contacts who are in them."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from jobs.nurture.replan_sequence import replan_sequence
from tests.conftest import Tenant
from tests.jobs.nurture.world import BOOKING, add_contact
from tests.worker.conftest import StartWorker, until
from tests.worker.sidecar.api.conftest import code_of, tenant_token
from worker.clock import utc_now

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

DAY = 86_400
STEPS = [
    {"delay_seconds": 0, "template": "nurture_welcome", "channel": "email"},
    {"delay_seconds": 3 * DAY, "template": "nurture_first_visit", "channel": "email"},
]


def wanted(tenant: Tenant, **changes: Any) -> dict[str, Any]:
    return {
        "tenant_id": str(tenant.tenant_id),
        "name": "welcome",
        "exit_on": ["reply"],
        "values": BOOKING,
        "steps": STEPS,
        **changes,
    }


async def make(http: httpx.AsyncClient, tenant: Tenant, **changes: Any) -> dict[str, Any]:
    made = await http.post("/nurture-sequences", json=wanted(tenant, **changes))
    assert made.status_code == 201, made.text
    shown: dict[str, Any] = made.json()
    return shown


async def test_a_sequence_is_made_and_seen(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant
) -> None:
    made = await make(http, tenant)

    path = f"/nurture-sequences/{made['sequence_id']}"
    assert (await http.get(path)).json() == made
    assert (await http.get("/nurture-sequences")).json() == {"items": [made], "next": None}
    assert [step["template"] for step in made["steps"]] == [step["template"] for step in STEPS]
    assert (made["version"], made["contacts"], made["is_active"]) == (1, 0, True)
    assert await db.fetchval("select action from audit_log") == "nurture_sequence.create"


async def test_a_step_says_whether_its_mail_is_personalised(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    made = await make(http, tenant, steps=[{**STEPS[0], "personalise": True}, STEPS[1]])

    assert [step["personalise"] for step in made["steps"]] == [True, False]

    path = f"/nurture-sequences/{made['sequence_id']}"
    kept = {**STEPS[0], "step_id": made["steps"][0]["step_id"]}
    changed = await http.put(f"{path}/steps", json={"steps": [kept]})
    assert [step["personalise"] for step in changed.json()["steps"]] == [False]
    refused = await http.put(f"{path}/steps", json={"steps": [{**kept, "personalise": "yes"}]})
    assert "steps.0.personalise" in refused.text


async def test_edited_steps_keep_their_ids_and_the_plan_is_made_anew_with_the_commit(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant
) -> None:
    made = await make(http, tenant)
    first, second = made["steps"]
    new = {"delay_seconds": DAY, "template": "nurture_check_in", "channel": "preferred"}

    changed = await http.put(
        f"/nurture-sequences/{made['sequence_id']}/steps",
        json={"version": 1, "steps": [second, new, first]},
    )

    assert changed.status_code == 200
    ids = [step["step_id"] for step in changed.json()["steps"]]
    assert (ids[0], ids[2]) == (second["step_id"], first["step_id"])
    assert changed.json()["version"] == 2
    jobs = await db.fetch("select job from outbox")
    assert [row["job"] for row in jobs] == [replan_sequence.name]


async def test_a_step_that_was_taken_out_may_come_back(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    made = await make(http, tenant)
    path = f"/nurture-sequences/{made['sequence_id']}/steps"

    without = await http.put(path, json={"steps": made["steps"][:1]})
    again = await http.put(path, json={"steps": made["steps"]})

    assert [len(one.json()["steps"]) for one in (without, again)] == [1, 2]
    assert again.json()["steps"] == made["steps"]


async def test_of_two_who_edit_the_same_version_the_second_is_told(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    made = await make(http, tenant)
    path = f"/nurture-sequences/{made['sequence_id']}/steps"
    edit = {"version": 1, "steps": made["steps"][::-1]}

    answered = [await http.put(path, json=edit) for _ in range(2)]

    assert [one.status_code for one in answered] == [200, 409]
    assert code_of(answered[1]) == "changed"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"steps": [{**STEPS[0], "template": "nurture_unknown"}]}, "steps.0.template"),
        ({"steps": [{**STEPS[0], "template": "nowhere"}]}, "steps.0.template"),
        ({"values": {}}, "steps.0.template"),
        ({"values": {"booking_url": "javascript:alert(1)"}}, "values"),
        ({"values": {**BOOKING, "shop_link": "data:text/html,x"}}, "values"),
        ({"steps": [{**STEPS[0], "step_id": str(uuid4())}]}, "steps"),
        ({"steps": [{**STEPS[0], "delay_seconds": -1}]}, "steps.0.delay_seconds"),
        ({"steps": [{**STEPS[0], "channel": "pigeon"}]}, "steps.0.channel"),
        ({"exit_on": ["boredom"]}, "exit_on.0"),
        ({"tenant_id": None}, "tenant_id"),
    ],
)
async def test_what_does_not_fit_is_named(
    http: httpx.AsyncClient, tenant: Tenant, change: dict[str, Any], field: str
) -> None:
    refused = await http.post("/nurture-sequences", json=wanted(tenant, **change))

    assert (refused.status_code, code_of(refused)) == (422, "invalid")
    assert list(refused.json()["error"]["fields"]) == [field]


@pytest.mark.parametrize("twice", [True, False])
async def test_a_step_stands_once_and_in_its_own_sequence(
    http: httpx.AsyncClient, tenant: Tenant, *, twice: bool
) -> None:
    made, other = await make(http, tenant), await make(http, tenant, name="other")
    steps = [made["steps"][0]] * 2 if twice else other["steps"]

    refused = await http.put(
        f"/nurture-sequences/{made['sequence_id']}/steps", json={"steps": steps}
    )

    assert list(refused.json()["error"]["fields"]) == ["steps.0.step_id"]


async def test_a_name_is_taken_once(http: httpx.AsyncClient, tenant: Tenant) -> None:
    await make(http, tenant)
    other = await make(http, tenant, name="other")

    made = await http.post("/nurture-sequences", json=wanted(tenant))
    renamed = await http.patch(
        f"/nurture-sequences/{other['sequence_id']}", json={"name": "welcome"}
    )

    assert (code_of(made), code_of(renamed)) == ("taken", "taken")


async def test_values_that_its_templates_need_stay(http: httpx.AsyncClient, tenant: Tenant) -> None:
    made = await make(http, tenant)
    path = f"/nurture-sequences/{made['sequence_id']}"

    refused = await http.patch(path, json={"values": {}})
    changed = await http.patch(path, json={"is_active": False, "exit_on": ["conversion"]})

    assert "booking_url" in refused.json()["error"]["fields"]["steps.0.template"]
    told = changed.json()
    assert (told["is_active"], told["exit_on"], told["values"]) == (False, ["conversion"], BOOKING)


async def test_other_tenants_sequences_are_not_there(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    made = await make(http, tenant)
    path, other = f"/nurture-sequences/{made['sequence_id']}", tenant_token(uuid4())

    answered = [
        await http.get(path, headers=other),
        await http.patch(path, json={"name": "mine"}, headers=other),
        await http.put(f"{path}/steps", json={"steps": []}, headers=other),
        await http.post("/nurture-sequences", json=wanted(tenant), headers=other),
    ]

    assert {code_of(one) for one in answered} == {"not_found"}
    assert (await http.get("/nurture-sequences", headers=other)).json()["items"] == []


async def test_an_unknown_sequence_is_not_started(http: httpx.AsyncClient, tenant: Tenant) -> None:
    body = {
        "tenant_id": str(tenant.tenant_id),
        "contact_ids": [str(uuid4())],
        "sequence": "nowhere",
    }

    assert code_of(await http.post("/sequences/nurture/start", json=body)) == "not_found"


async def test_a_contact_in_flight_gets_an_edited_sequence_from_a_real_worker(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant, start_worker: StartWorker
) -> None:
    """Started over HTTP, edited after its first step: what was far off is due, and comes once."""
    contact = await add_contact(db, tenant.tenant_id)
    made = await make(http, tenant)
    await start_worker()
    body = {
        "tenant_id": str(tenant.tenant_id),
        "contact_ids": [str(contact)],
        "sequence": "welcome",
    }
    assert (await http.post("/sequences/nurture/start", json=body)).status_code == 202

    async def sent(number: int) -> bool:
        rows = await db.fetch("select from deliveries where status = 'sent'")
        return len(rows) == number

    async def told() -> dict[str, Any]:
        path = f"/sequences/nurture/contacts/{contact}"
        answered = await http.get(path, params={"tenant_id": str(tenant.tenant_id)})
        (enrolment,) = answered.json()["enrolments"]
        return dict(enrolment)

    await until(lambda: sent(1))
    in_flight = await told()
    due_in = await db.fetchval("select next_due_at from enrolments") - utc_now()
    assert timedelta(days=2) < due_in < timedelta(days=3)
    assert in_flight["next_step_id"] == made["steps"][1]["step_id"]
    first, second = made["steps"]
    new = {"delay_seconds": 1, "template": "nurture_check_in", "channel": "email"}
    await http.put(
        f"/nurture-sequences/{made['sequence_id']}/steps",
        json={"steps": [new, {**second, "delay_seconds": 1}, first]},
    )
    await until(lambda: sent(3))

    async def is_over() -> bool:
        return bool((await told())["state"] == "completed")

    await until(is_over)
    templates = await db.fetch("select template from deliveries order by sent_at")
    assert [row["template"] for row in templates] == [
        "nurture-welcome",
        "nurture-check-in",
        "nurture-first-visit",
    ]
