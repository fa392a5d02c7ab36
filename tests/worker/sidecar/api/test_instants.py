"""Instants in every list: written out, and up to the edges of the calendar."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from jobs.kit import all_jobs
from tests.worker.dead_letters.conftest import MakeLetter
from tests.worker.dead_letters.conftest import make_letter as make_letter  # noqa: PLC0414 - a fixture
from tests.worker.history.conftest import Remember
from tests.worker.history.conftest import remember as remember  # noqa: PLC0414 - a fixture
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import code_of
from tests.worker.sidecar.api.test_rates import end
from worker.ending import State
from worker.outbox import enqueue_in
from worker.sidecar.api.operation import Body
from worker.sidecar.api.resources import all_operations

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
ALWAYS = {"since": FIRST.isoformat(), "until": LAST.isoformat()}
# Of callers east and west of Greenwich: no calendar of ours has them in UTC.
BEYOND = {"since": "0001-01-01T00:00:00+03:00", "until": "9999-12-31T23:59:59-03:00"}
LISTS = ("/rates", "/runs", "/dead-letters", "/dead-letters/groups", "/audit")


def asked_instants() -> list[tuple[type[BaseModel], str]]:
    """All fields in which callers say an instant."""
    models = {
        model
        for one in all_operations()
        for model in (one.parameters, one.body)
        if isinstance(model, type) and issubclass(model, BaseModel)
    }
    return [
        (model, name)
        for model in sorted(models, key=lambda model: model.__name__)
        for name, field in model.model_fields.items()
        if "datetime" in str(field.annotation).lower()
    ]


@pytest.mark.parametrize(("model", "name"), asked_instants(), ids=str)
def test_an_instant_is_written_out_wherever_one_is_asked_for(
    model: type[BaseModel], name: str
) -> None:
    for said in ("1", "1700000000", "1700000000000", "2026-11-30", "2026-11-30T12:00:00"):
        with pytest.raises(ValidationError) as refused:
            model.model_validate({name: said})
        assert name in [error["loc"][0] for error in refused.value.errors()]
    given = {name: "2026-11-30T12:00:00Z"}
    with pytest.raises(ValidationError) as missing:
        model.model_validate({**given, "none such": 1})
    assert name not in [error["loc"][0] for error in missing.value.errors()]


def test_that_looks_at_every_list_and_body() -> None:
    names = {(model.__name__, name) for model, name in asked_instants()}

    assert {("RateQuery", "since"), ("RunQuery", "until"), ("AuditFilter", "since")} <= names
    assert any(issubclass(model, Body) for model, _ in asked_instants())


async def test_all_there_is_can_be_asked_for_from_the_first_instant_to_the_last(
    http: httpx.AsyncClient, db: "Db", remember: Remember, make_letter: MakeLetter
) -> None:
    await end(db, 3)
    await remember()
    await make_letter()
    await http.post("/queues/email/pause", json={"seconds": 1})

    for path in LISTS:
        reply = await http.get(path, params=ALWAYS)
        assert (path, reply.status_code, bool(reply.json()["items"])) == (path, 200, True)
        beyond = await http.get(path, params=BEYOND)
        assert (path, beyond.status_code, code_of(beyond)) == (path, 422, "invalid")
    (rates,) = (await http.get("/rates", params=ALWAYS)).json()["items"]
    assert rates["at"] == "0001-01-01T00:00:00Z"


async def test_what_a_stock_pool_enqueued_at_the_edge_of_time_is_shown(
    http: httpx.AsyncClient, remember: Remember, make_letter: MakeLetter
) -> None:
    for instant in (FIRST, LAST):
        await remember(run_id=uuid4().hex, enqueued_at=instant)
        await make_letter(enqueued_at=instant)

    runs = (await http.get("/runs")).json()["items"]
    letters = (await http.get("/dead-letters")).json()["items"]

    for items, path in ((runs, "/runs/{run_id}"), (letters, "/dead-letters/{dead_letter_id}")):
        years = {item["enqueued_at"][:4] for item in items}
        assert years == {"0001", "9999"}
        for item in items:
            assert (await http.get(path.format(**item))).status_code == 200


async def test_attempts_and_groups_are_shown_as_well(
    http: httpx.AsyncClient, remember: Remember, make_letter: MakeLetter
) -> None:
    run = await remember(state=State.SUCCEEDED, started_at=FIRST, ended_at=LAST)
    await make_letter(ended_at=FIRST)
    await make_letter(ended_at=LAST)

    shown = (await http.get(f"/runs/{run.run_id}")).json()
    counted = (await http.get("/dead-letters/groups")).json()["items"]
    sampled = (await http.get("/dead-letters/groups", params=ALWAYS)).json()["items"]

    (attempt,) = shown["attempts"]
    assert (attempt["started_at"][:4], attempt["ended_at"][:4]) == ("0001", "9999")
    assert (counted[0]["first_at"][:4], counted[0]["last_at"][:4]) == ("0001", "9999")
    assert [one["first_at"] for one in sampled] == ["0001-01-01T00:00:00Z"]


async def test_a_run_that_is_promised_for_the_end_of_time_waits(
    http: httpx.AsyncClient, db: "Db"
) -> None:
    greet = next(job for job in all_jobs() if job.name == api_jobs.greet.name)
    async with db.acquire() as connection, connection.transaction():
        last, first = [
            await enqueue_in(connection, greet, greet.validate({"name": "Ada"}), due_at=at)
            for at in (LAST, FIRST)
        ]

    states = [(await http.get(f"/runs/{run_id}")).json()["state"] for run_id in (last, first)]

    assert states == ["delayed", "waiting"]


@pytest.mark.parametrize("due_at", [*ALWAYS.values(), *BEYOND.values()])
async def test_a_run_is_not_asked_for_at_the_edge_of_time(
    http: httpx.AsyncClient, due_at: str
) -> None:
    body: dict[str, Any] = {"payload": {"name": "Ada"}, "due_at": due_at}

    reply = await http.post(f"/jobs/{api_jobs.greet.name}/runs", json=body)

    assert reply.status_code in (202, 422)
