"""Limits hold over several worker processes under load, and blocked runs wait without attempts."""

import time
from collections import Counter

import pytest

from tests.worker.conftest import StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd, most_in_any
from tests.worker.trouble_servers import Workers
from worker.enqueuer import Pool

KEYS = ["a", "b", "c"]
pytestmark = pytest.mark.timeout(120)  # processes on a busy machine


def three(workers: Workers, **settings: str) -> None:
    for _ in range(3):
        workers.start(**settings)


async def test_no_more_starts_than_the_rate_in_any_window(workers: Workers, crowd: Crowd) -> None:
    three(workers)
    free = await crowd.add(jobs.FREE, ["free"] * 200)
    rated = await crowd.add(jobs.RATED, KEYS * 10)
    elsewhere = await crowd.add(jobs.RATED_ELSEWHERE, KEYS * 10)

    await crowd.done()

    for key in KEYS:  # two jobs on two queues share it
        starts = crowd.starts(key)
        assert len(starts) == 20
        assert most_in_any(jobs.WINDOW, starts) == jobs.RATE
    begun = Counter(mark.number for mark in crowd.marks if mark.event == "begin")
    assert set(begun.values()) == {1}
    assert {mark.attempt for mark in crowd.marks} == {1}
    last_free = max(m.at for m in crowd.marks if m.number in free)
    assert last_free < min(crowd.starts(key)[-1] for key in KEYS)
    assert len(rated) == len(elsewhere) == 30


async def test_no_more_at_once_than_the_limit_of_a_key(workers: Workers, crowd: Crowd) -> None:
    three(workers, QUEUE_CONCURRENCY='{"default": 2}')  # two slots each: none runs all alone
    await crowd.add(jobs.LIMITED, KEYS * 20, seconds=0.1)

    await crowd.done()

    assert {key: crowd.most_at_once(key) for key in KEYS} == dict.fromkeys(KEYS, jobs.AT_ONCE)
    pids = {mark.pid for mark in crowd.marks}
    assert len(pids) > 1


async def test_places_of_a_killed_worker_go_to_its_runs_and_then_to_others(
    workers: Workers, crowd: Crowd
) -> None:
    three(workers)
    await crowd.add(jobs.LIMITED, KEYS * 8, seconds=0.5)

    async def two_are_over() -> bool:
        return sum(mark.event == "end" for mark in crowd.marks) >= 2

    await until(two_are_over)
    victim = workers.processes[0]
    victim.kill()
    victim.wait()

    await crowd.done(within=60)
    for key in KEYS:  # what the killed one began never ended
        alive = [m for m in crowd.marks if crowd.keys[m.number] == key and m.pid != victim.pid]
        most, running = 0, set[int]()
        for mark in alive:
            (running.add if mark.event == "begin" else running.discard)(mark.number)
            most = max(most, len(running))
        assert most <= jobs.AT_ONCE


async def test_several_limits_hold_at_once(workers: Workers, crowd: Crowd) -> None:
    three(workers)
    await crowd.add(jobs.BOTH, ["a", "b", "c", "d"] * 10, seconds=0.02)

    await crowd.done()

    for key in ["a", "b", "c", "d"]:
        assert crowd.most_at_once(key) == 1
        assert most_in_any(jobs.WINDOW, crowd.starts(key)) <= jobs.RATE
    everyone = [mark.at for mark in crowd.marks if mark.event == "begin"]
    assert most_in_any(jobs.WINDOW, everyone) <= 3 * jobs.RATE


async def test_who_goes_on_to_the_next_line_lets_those_behind_move_up(
    start_worker: StartWorker, crowd: Crowd
) -> None:
    """The second has to wait for its own key's rate, the third only for that of all."""
    await start_worker()
    await crowd.add(jobs.ONE_BY_ONE, ["a"])
    await until(lambda: _has_begun(crowd, "a"))
    began = time.time()
    await crowd.add(jobs.ONE_BY_ONE, ["a", "b"])

    await until(lambda: _has_begun(crowd, "b"))

    assert crowd.starts("b")[0] - began < 2
    await crowd.done()
    assert crowd.starts("a")[1] - crowd.starts("a")[0] > 3


async def _has_begun(crowd: Crowd, key: str) -> bool:
    return bool(crowd.starts(key))


async def test_runs_of_a_partition_come_one_after_the_other_in_order(
    workers: Workers, crowd: Crowd
) -> None:
    three(workers)
    await crowd.add(jobs.follow, KEYS * 15, seconds=0.01)

    await crowd.done()

    for key in KEYS:
        numbers = [m.number for m in crowd.marks if crowd.keys[m.number] == key]
        assert numbers == sorted(numbers)
        assert crowd.most_at_once(key) == 1


async def test_a_partition_waits_for_a_run_that_is_tried_again(
    start_worker: StartWorker, pool: Pool, crowd: Crowd
) -> None:
    await start_worker()
    payload = {"marks": crowd.path, "seconds": 0, "key": "a"}
    await pool.enqueue_job(jobs.follow.name, {**payload, "number": 0, "fails": 2})
    await pool.enqueue_job(jobs.follow.name, {**payload, "number": 1})
    crowd.keys += ["a", "a"]

    await crowd.done()

    assert [(m.number, m.attempt, m.event) for m in crowd.marks] == [
        (0, 1, "begin"),
        (0, 1, "fail"),
        (0, 2, "begin"),
        (0, 2, "fail"),
        (0, 3, "begin"),
        (0, 3, "end"),
        (1, 1, "begin"),
        (1, 1, "end"),
    ]


async def test_a_service_that_has_had_enough_rests(start_worker: StartWorker, crowd: Crowd) -> None:
    await start_worker()
    await crowd.add(jobs.be_told, ["a"], seconds=1)

    async def has_begun() -> bool:
        return bool(crowd.marks)

    await until(has_begun)
    await until(lambda: _rests(crowd))
    told_at = time.time()
    await crowd.add(jobs.be_told, ["a", "a", "b"])
    await crowd.done()

    first = {key: min(m.at for m in crowd.marks[1:] if crowd.keys[m.number] == key) for key in "ab"}
    assert first["a"] - told_at > 0.8
    assert first["b"] - told_at < 0.5
    assert {mark.attempt for mark in crowd.marks} == {1}


async def _rests(crowd: Crowd) -> bool:
    return bool(await crowd.pool.exists("deskhand:hold:told:a"))
