"""GET /notices: for admins alone, in pages."""

from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from tests.worker.notices.conftest import HOUR, Scene
from tests.worker.notices.conftest import scene as scene  # noqa: PLC0414 - a fixture is found here
from tests.worker.sidecar.api.conftest import (
    CREDENTIALS,
    Serve,
    basic,
    bearer,
    tenant_token,
    token,
)
from worker.notices.watch import Line

if TYPE_CHECKING:
    from collections.abc import Mapping


async def test_an_admin_reads_what_is_wrong_and_what_was(
    http: httpx.AsyncClient, scene: Scene
) -> None:
    await scene.fail(7)
    await scene.look()
    opened_at = scene.now
    await scene.look(HOUR)
    scene.queues = {"email": Line(150, is_served=True)}
    await scene.look()
    await scene.look()

    reply = await http.get("/notices")

    waiting, failures = reply.json()["items"]
    assert reply.json()["next"] is None
    assert waiting == waiting | {
        "kind": "waiting", "queue": "email", "count": 150, "threshold": 100, "told": 1,
        "closed_at": None, "job": None, "run_ids": [],
    }  # fmt: skip
    assert failures == failures | {
        "kind": "failures", "job": "testing.add_line", "error_type": "ValueError", "count": 7,
        "dead": 7, "told": 2, "opened_at": f"{opened_at:%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip
    assert len(failures["run_ids"]) == 5
    assert failures["closed_at"] is not None


async def test_they_are_found_by_kind_queue_job_and_whether_they_are_over(
    http: httpx.AsyncClient, scene: Scene
) -> None:
    for job in ("testing.a", "testing.b", "testing.c"):
        await scene.fail(5, job=job)
    await scene.look()
    await scene.look(HOUR)
    await scene.fail(5, job="testing.a")
    await scene.look()

    async def found(**asked: object) -> list[str]:
        parameters = {name: str(value) for name, value in asked.items()}
        reply = await http.get("/notices", params=parameters)
        assert reply.status_code == 200, reply.text
        return [item["job"] for item in reply.json()["items"]]

    assert await found(is_open=True) == ["testing.a"]
    assert await found(is_open=False) == ["testing.c", "testing.b", "testing.a"]
    assert await found(job="testing.b", kind="failures", queue="default") == ["testing.b"]
    assert await found(kind="waiting") == []


async def test_pages_follow_each_other(http: httpx.AsyncClient, scene: Scene) -> None:
    for number in range(5):
        await scene.fail(5, job=f"testing.job{number}")
    await scene.look()

    jobs, after = [], None
    for _ in range(3):
        reply = await http.get(
            "/notices", params={"limit": 2, **({"after": after} if after else {})}
        )
        jobs += [item["job"] for item in reply.json()["items"]]
        after = reply.json()["next"]

    assert jobs == [f"testing.job{number}" for number in (4, 3, 2, 1, 0)]
    assert after is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (bearer(token("viewer")), 403),
        (basic("ayse"), 403),
        (tenant_token(uuid4(), "admin"), 403),
    ],
    ids=["nobody", "viewer", "operator", "tenant"],
)
async def test_nobody_else_does(serve: Serve, headers: "Mapping[str, str]", status: int) -> None:
    http = await serve(**CREDENTIALS)

    for path in ("/notices", "/notices/undelivered"):
        assert (await http.get(path, headers=headers)).status_code == status
