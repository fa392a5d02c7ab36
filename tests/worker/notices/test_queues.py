"""Acceptance row O-14: too many waiting runs are told of once, and when it is over."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.worker.notices.conftest import HOUR, MINUTE, START, Scene
from worker.notices.policy import Rules
from worker.notices.watch import Line


def waiting(scene: Scene, number: int, *, is_served: bool = True) -> None:
    scene.queues = {"email": Line(number, is_served), "sync": Line(0, is_served=True)}


async def changes(scene: Scene) -> list[str]:
    return [change for _, change, _ in await scene.told()]


async def test_a_queue_that_stays_above_the_threshold_is_told_of(scene: Scene) -> None:
    waiting(scene, 101)
    await scene.look()
    assert await scene.notices() == []

    waiting(scene, 140)
    await scene.look()

    notice = await scene.notice()
    assert (notice.kind, notice.queue, notice.count) == ("waiting", "email", 140)
    assert (notice.threshold, notice.first_at) == (100, START + MINUTE)
    assert await scene.told() == [("waiting", "opened", 140)]
    assert scene.counted == [("waiting", "opened")]


async def test_a_burst_is_no_trouble(scene: Scene) -> None:
    for number in (500, 100, 500, 0, 101, 40):
        waiting(scene, number)
        await scene.look()

    assert await scene.notices() == []
    assert await scene.db.fetchval("select count(*) from notices") == 0


async def test_looks_that_lie_far_apart_are_not_in_a_row(scene: Scene) -> None:
    waiting(scene, 500)
    await scene.look()
    await scene.look(HOUR)
    assert await scene.notices() == []

    await scene.look()

    assert (await scene.notice()).first_at == START + HOUR + MINUTE


async def test_it_is_over_below_the_lower_threshold_and_not_above(scene: Scene) -> None:
    waiting(scene, 150)
    await scene.look()
    await scene.look()
    for number in (99, 81, 120, 81, 99) * 4:  # up and down around it: one trouble
        waiting(scene, number)
        await scene.look()
    assert await changes(scene) == ["opened"]

    waiting(scene, 80)
    for _ in range(4):
        await scene.look()
    assert await changes(scene) == ["opened"]
    for _ in range(4):
        await scene.look()

    notice = await scene.notice()
    assert await changes(scene) == ["opened", "closed"]
    assert (notice.count, notice.most, notice.is_open) == (80, 150, False)


async def test_reminders_come_further_and_further_apart(scene: Scene) -> None:
    scene.rules = Rules(repeat=HOUR)
    waiting(scene, 150)
    told_at = []
    for _ in range(3 * 24 * 60 // 5):
        before = len(await changes(scene))
        await scene.look(5 * MINUTE)
        if len(await changes(scene)) > before:
            told_at.append(scene.now)

    hours = [(later - at) / HOUR for at, later in pairwise(told_at)]
    assert hours == [1, 2, 4, 8, 16, 24]


async def test_no_reminder_says_more_than_wait(scene: Scene) -> None:
    scene.rules = Rules(repeat=HOUR)
    waiting(scene, 150)
    await scene.look()
    await scene.look()
    waiting(scene, 85)  # below the threshold, and above the lower one
    for _ in range(4 * 12):
        await scene.look(5 * MINUTE)
    assert await changes(scene) == ["opened"]

    waiting(scene, 101)
    await scene.look(5 * MINUTE)
    waiting(scene, 85)
    await scene.look(5 * MINUTE)

    assert await changes(scene) == ["opened", "ongoing"]
    assert (await scene.notice()).is_open


async def test_each_queue_may_have_a_threshold_of_its_own(scene: Scene) -> None:
    scene.rules = Rules(waiting=100, waiting_by_queue={"document": 500, "risk": 0})
    scene.queues = {name: Line(400, is_served=True) for name in ("email", "document", "risk")}

    await scene.look()
    await scene.look()

    assert [notice.queue for notice in await scene.notices()] == ["email"]


async def test_a_queue_that_no_worker_serves_is_told_of(scene: Scene) -> None:
    waiting(scene, 1, is_served=False)
    await scene.look()
    await scene.look()
    assert await scene.told() == [("unserved", "opened", 1)]

    waiting(scene, 1)
    for _ in range(6):
        await scene.look()

    assert [change for _, change, _ in await scene.told()] == ["opened", "closed"]


async def test_thresholds_of_zero_tell_of_nothing_and_end_what_was_told(scene: Scene) -> None:
    waiting(scene, 500, is_served=False)
    await scene.look()
    await scene.look()
    assert await changes(scene) == ["opened", "opened"]

    scene.rules = Rules(waiting=0, unserved=False)
    for _ in range(10):
        await scene.look()

    assert await changes(scene) == ["opened", "opened", "closed", "closed"]


async def test_of_many_workers_one_looks_and_tells(scene: Scene) -> None:
    read = 0

    async def lines() -> dict[str, Line]:
        nonlocal read
        read += 1
        return {"email": Line(500, is_served=True)}

    for _ in range(2):
        scene.now += MINUTE
        watches = [scene.watch(queues=lines) for _ in range(4)]
        await asyncio.gather(*(watch.step() for watch in watches))
        for watch in watches:
            await watch.step()

    assert read == 2
    assert await scene.told() == [("waiting", "opened", 500)]


async def test_a_clock_that_was_put_back_stops_nobody_from_looking(scene: Scene) -> None:
    waiting(scene, 500)
    await scene.look()

    await scene.look(-2 * HOUR)
    await scene.look()
    await scene.look()

    assert await changes(scene) == ["opened"]


@pytest.mark.parametrize("seconds", [0, 30, 54])
async def test_nobody_looks_again_too_soon(scene: Scene, seconds: int) -> None:
    waiting(scene, 500)
    await scene.look()

    await scene.look(timedelta(seconds=seconds))

    assert await scene.notices() == []
