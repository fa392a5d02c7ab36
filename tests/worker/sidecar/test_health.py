import asyncio
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, cast

import pytest

from worker.sidecar import health as health_module
from worker.sidecar.health import Health, Report

OK, UNAVAILABLE = HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Dependency:
    """A service that is up, down or silent."""

    def __init__(self) -> None:
        self.is_up = True
        self.is_silent = False
        self.asked = 0
        self.detail: Mapping[str, object] | None = None
        self.was_asked = asyncio.Event()

    async def check(self) -> Mapping[str, object] | None:
        self.asked += 1
        self.was_asked.set()
        if self.is_silent:
            await asyncio.sleep(3600)
        if not self.is_up:
            raise OSError("connect to db.internal:5432 as ada failed")
        return self.detail


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def redis() -> Dependency:
    return Dependency()


@pytest.fixture
async def health(clock: Clock, redis: Dependency) -> AsyncIterator[Health]:
    health = Health(service="worker", version="1.2.3", clock=clock, wall=lambda: 1_800_000_000)
    health.add("redis", redis.check)
    yield health
    await health.stop()


def said(report: Report) -> tuple[HTTPStatus, object]:
    return report.status, report.body["status"]


def check_of(report: Report, name: str) -> dict[str, Any]:
    return cast("dict[str, dict[str, Any]]", report.body["checks"])[name]


def all_of(health: Health) -> list[tuple[int, object]]:
    reports = (health.startup(), health.live(), health.ready(), health.summary())
    return [(report.status.value, report.body["status"]) for report in reports]


async def test_while_starting_only_live_is_green(health: Health) -> None:
    starting = (503, "starting")

    assert all_of(health) == [starting, (200, "ok"), starting, starting]


async def test_running_and_checked_is_all_green(health: Health) -> None:
    health.running()
    assert said(health.ready()) == (UNAVAILABLE, "starting")  # a required check has no result yet

    await health.check_now()

    assert all_of(health) == [(200, "ok")] * 4


async def test_a_failing_dependency_has_a_grace_and_never_costs_the_life(
    health: Health, redis: Dependency, clock: Clock
) -> None:
    health.running()
    await health.check_now()
    redis.is_up = False
    await health.check_now()
    clock.seconds += 9.9
    assert said(health.ready()) == said(health.summary()) == (OK, "degraded")

    clock.seconds += 0.1

    assert all_of(health) == [(200, "ok"), (200, "ok"), (503, "unhealthy"), (503, "unhealthy")]
    assert check_of(health.ready(), "redis")["status"] == "unhealthy"


async def test_a_dependency_that_comes_back_is_well_at_the_next_check(
    health: Health, redis: Dependency, clock: Clock
) -> None:
    health.running()
    redis.is_up = False
    await health.check_now()
    clock.seconds += 30
    health.heartbeat()
    assert said(health.ready()) == (UNAVAILABLE, "unhealthy")

    redis.is_up = True
    await health.check_now()

    assert said(health.ready()) == (OK, "ok")


async def test_an_optional_dependency_only_degrades(health: Health, clock: Clock) -> None:
    smtp = Dependency()
    smtp.is_up = False
    health.add("smtp", smtp.check, required=False)
    health.running()
    await health.check_now()

    clock.seconds += 30

    assert said(health.ready()) == said(health.summary()) == (OK, "degraded")
    assert check_of(health.summary(), "smtp")["status"] == "unhealthy"


async def test_a_check_may_say_degraded_itself(health: Health, redis: Dependency) -> None:
    redis.detail = {"degraded": True, "clock_skew_s": 7}
    health.running()

    await health.check_now()

    assert said(health.ready()) == (OK, "degraded")
    assert health.details()["redis"]["clock_skew_s"] == 7


async def test_a_silent_dependency_fails_and_holds_up_nobody(
    health: Health, redis: Dependency, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "TIMEOUT", health_module.TIMEOUT / 40)
    postgres = Dependency()
    health.add("postgres", postgres.check)
    health.running()
    redis.is_silent = True

    await asyncio.wait_for(health.check_now(), 1)
    clock.seconds += 10

    assert check_of(health.ready(), "redis")["status"] == "unhealthy"
    assert check_of(health.ready(), "postgres")["status"] == "ok"


async def test_a_check_that_cannot_be_cancelled_is_not_started_again(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "TIMEOUT", health_module.TIMEOUT / 40)
    started, release = [], asyncio.Event()

    async def stubborn() -> None:
        started.append(1)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    health.add("stubborn", stubborn)
    await health.check_now()
    await health.check_now()

    assert len(started) == 1
    assert check_of(health.ready(), "stubborn")["status"] == "degraded"
    release.set()


async def test_an_engine_that_stops_polling_is_stalled(health: Health, clock: Clock) -> None:
    health.running()
    await health.check_now()
    clock.seconds += 59.9
    assert said(health.live()) == (OK, "ok")

    clock.seconds += 0.1
    assert all_of(health) == [(200, "ok"), *[(503, "stalled")] * 3]

    health.heartbeat()
    assert said(health.live()) == (OK, "ok")


async def test_draining_is_alive_and_not_ready(health: Health, clock: Clock) -> None:
    health.running()
    await health.check_now()
    health.draining()
    health.describe_with(lambda: {"jobs_left": 2})

    clock.seconds += 120  # nobody polls any more

    assert all_of(health) == [(200, "ok"), (200, "ok"), (503, "draining"), (503, "draining")]
    assert health.summary().body["jobs_left"] == 2


async def test_a_worker_whose_engine_ended_is_not_alive(health: Health) -> None:
    health.running()
    health.stopped()

    assert said(health.live()) == said(health.ready()) == (UNAVAILABLE, "stopped")


async def test_busy_or_paused_is_told_and_stays_green(health: Health) -> None:
    health.running()
    await health.check_now()
    health.describe_with(lambda: {"saturated": True, "paused": ["sync"], "status": "ignored"})

    assert said(health.summary()) == (OK, "ok")
    assert health.summary().body["saturated"] is True
    assert health.summary().body["paused"] == ["sync"]
    assert "paused" not in health.ready().body


async def test_facts_that_fail_do_not_fail_the_probe(health: Health) -> None:
    health.running()
    await health.check_now()
    health.describe_with(lambda: {"left": 1 // 0})

    assert said(health.summary()) == (OK, "ok")


async def test_the_body_tells_since_when_and_no_secrets(
    health: Health, redis: Dependency, clock: Clock
) -> None:
    health.running()
    await health.check_now()
    clock.seconds += 60
    health.heartbeat()
    redis.is_up = False
    await health.check_now()
    clock.seconds += 5

    assert health.summary().body == {
        "status": "degraded",
        "checks": {
            "redis": {"status": "degraded", "latency_ms": None, "since": "2027-01-15T07:59:55Z"}
        },
        "service": "worker",
        "version": "1.2.3",
        "uptime_s": 65.0,
    }


async def test_probes_ask_nobody_and_the_background_does(
    health: Health, redis: Dependency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "INTERVAL", health_module.INTERVAL / 500)
    async with health.watching():
        asked = redis.asked
        for _ in range(100):
            all_of(health)
        assert redis.asked == asked == 1

        redis.was_asked.clear()
        await asyncio.wait_for(redis.was_asked.wait(), 5)
    asked = redis.asked
    await asyncio.sleep(0.05)
    assert redis.asked == asked


async def test_siblings_that_are_away_make_it_unready_and_after_long_not_alive(
    health: Health, clock: Clock
) -> None:
    siblings = Dependency()
    health.add_siblings(siblings.check)
    health.running()
    await health.check_now()
    siblings.is_up = False

    await health.check_now()
    assert said(health.ready()) == (OK, "degraded")
    clock.seconds += 10
    health.heartbeat()
    assert said(health.ready()) == (UNAVAILABLE, "unhealthy")
    assert health.own() == "ok"
    assert said(health.live()) == (OK, "ok")
    clock.seconds += 80
    health.heartbeat()
    assert said(health.live()) == (UNAVAILABLE, "incomplete")
