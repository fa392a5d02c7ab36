"""Rates over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.worker.sidecar.api.conftest import CREDENTIALS, Serve, code_of, tenant_token
from worker.clock import utc_now
from worker.rates import RateWriter, Tally

if TYPE_CHECKING:
    import asyncpg

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = {"since": NOON.isoformat(), "until": (NOON + timedelta(hours=1)).isoformat()}


async def end(
    db: "asyncpg.Pool[asyncpg.Record]",
    attempts: int,
    *,
    at: datetime = NOON,
    queue: str = "email",
    outcome: str = "succeeded",
) -> None:
    """So many attempts that waited a second and took two."""
    tally, began = Tally(), at.timestamp()
    times = [((began - 1) * 1000, began, began + 2)] * attempts
    tally.add(queue, "email.send", outcome, times, ended=began)
    await RateWriter(db, tally).flush()


async def rates_of(http: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    reply = await http.get("/rates", params=asked)
    assert reply.status_code == 200, reply.text
    items: list[dict[str, Any]] = reply.json()["items"]
    return items


async def test_each_queue_has_its_rates(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    await end(db, 45)
    await end(db, 15, outcome="dead", at=NOON + timedelta(minutes=2))
    await end(db, 6, queue="sync", outcome="released")

    email, sync = await rates_of(http, **HOUR)
    first, second = await rates_of(http, queue="email", period_seconds=60, **HOUR)

    assert (email["queue"], email["attempts"], email["per_minute"]) == ("email", 60, 1)
    assert (email["by_outcome"], email["failure_share"]) == ({"dead": 15, "succeeded": 45}, 0.25)
    assert (email["seconds"], email["wait"]["mean"], email["duration"]["longest"]) == (3600, 1, 2)
    assert (sync["queue"], sync["failure_share"]) == ("sync", None)
    assert (first["attempts"], second["attempts"], second["seconds"]) == (45, 15, 60)
    assert await rates_of(http, job="email.other", **HOUR) == []


async def test_the_last_hour_is_meant_when_nothing_else_is_said(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    await end(db, 7, at=utc_now() - timedelta(minutes=30))
    await end(db, 5, at=utc_now() - timedelta(hours=2))

    (one,) = await rates_of(http)

    assert one["attempts"] == 7


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"since": HOUR["until"], "until": HOUR["since"]}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"period_seconds": 61}, "period_seconds"),
        ({"period_seconds": 60, "since": (NOON - timedelta(days=1)).isoformat()}, "period_seconds"),
        ({"until": "0001-01-01T00:00:00Z"}, "until"),
    ],
)
async def test_a_time_that_makes_no_sense_is_refused(
    http: httpx.AsyncClient, asked: dict[str, Any], field: str
) -> None:
    reply = await http.get("/rates", params={**HOUR, **asked} if field != "until" else asked)

    assert (reply.status_code, code_of(reply)) == (422, "invalid")
    assert list(reply.json()["error"]["fields"]) == [field]


async def test_rates_are_of_all_tenants_together(serve: Serve) -> None:
    http = await serve(**CREDENTIALS)

    reply = await http.get("/rates", headers=tenant_token(uuid4(), "admin"))

    assert (reply.status_code, code_of(reply)) == (403, "tenant_bound")
