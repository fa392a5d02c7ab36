"""What the scripts make of limits that meet, of turns that nobody takes, and of nonsense."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.worker.controls.test_models import LONGEST, QUEUE, WAIT, Stage

TENANTS = [f"{number:08x}-1111-1111-1111-111111111111" for number in range(2)]
HOUR = 3_600_000


@pytest.fixture
def stage(redis_url: str) -> Iterator[Stage]:
    redis = Redis.from_url(redis_url)
    yield Stage(redis)
    redis.close()


def of_tenant(stage: Stage, tenant: int, text: str) -> bytes:
    return stage.payload(f'"a":[{{"tenant_id":"{TENANTS[tenant]}"}}],{text}')


def test_two_windows_of_one_key_hold_both(stage: Stage) -> None:
    for number in range(300):
        stage.enqueue(stage.payload(f"x{number}", "r10/1000/api", "r100/60000/api"))
    starts: list[int] = []
    for _ in range(150):
        stage.now += 500
        starts += [stage.now] * len(stage.claim())

    for first in starts:
        assert sum(first <= at < first + 1000 for at in starts) <= 10
        assert sum(first <= at < first + 60_000 for at in starts) <= 100
    assert len(starts) >= 100


def test_whoever_is_first_of_a_partition_is_waited_for_whatever_it_waits_for(stage: Stage) -> None:
    stage.enqueue(stage.payload("other", f"r1/{HOUR}/src1"))
    assert stage.claim() == ["other"]
    stage.enqueue(stage.payload("first", "o/deal", f"r1/{HOUR}/src1"))
    assert stage.claim() == []
    stage.now += 10
    stage.enqueue(stage.payload("second", "o/deal", f"r1/{HOUR}/src2"))

    assert stage.claim() == []
    stage.now += HOUR + 1000
    assert stage.claim() == ["first", "second"]


def test_a_turn_that_nobody_takes_goes_to_the_next(stage: Stage) -> None:
    """Somebody who knows no turns has taken the run whose turn it was."""
    for number in range(60):
        stage.enqueue(of_tenant(stage, 0, f"x{number}"))
    first = stage._tick([], free=2)
    fields: Any = stage.redis.hgetall("deskhand:turns:arq:queue")
    turn = fields[f"t{TENANTS[0]}".encode()].decode()
    stage.redis.zrem(QUEUE.key, turn)
    stage.redis.delete(f"arq:job:{turn}")

    ran: list[str] = []
    for _ in range(5):
        stage.now += 1000
        ran += stage.claim()

    assert len(first) == 2
    assert len(ran) == 57
    assert stage.redis.keys("deskhand:lane:*") == []


@pytest.mark.parametrize(
    "word",
    [
        "r99999999999999999999999/1000/x",
        "r1/99999999999999999999999/x",
        "r0/0/x",
        "r/1/x",
        "k/",
        "k99999999999999999999999/x",
        "o/",
        "p",
        "p99999999999999999999999",
        "z9/9",
    ],
)
def test_hostile_words_hold_up_nobody(stage: Stage, word: str) -> None:
    stage.enqueue(stage.payload("hostile", word))
    stage.now += 1
    stage.enqueue(stage.payload("honest"))

    assert "honest" in stage.claim()


@pytest.mark.parametrize("start", ["abc", "nan", "inf", "-inf", ""])
def test_nonsense_among_the_starts_of_a_rate_holds_up_nobody(stage: Stage, start: str) -> None:
    window = f"{1000 + 50 + 10}/x"
    for one in (stage.now, start, stage.now):
        stage.redis.rpush(f"deskhand:rate:{window}", one)
    stage.enqueue(stage.payload("rated", "r2/1000/x"))
    stage.now += 1
    stage.enqueue(stage.payload("honest"))

    assert "honest" in stage.claim()
    stage.now += 3000
    stage.claim()
    assert stage.redis.zcard(QUEUE.key) == 0


def test_the_newest_payload_of_a_run_that_failed_begins_anew(stage: Stage) -> None:
    stage.merge("a", stage.payload("old"), WAIT, LONGEST)
    stage.now += 10_000
    stage.redis.set("arq:retry:run1", 4)
    stage.redis.zadd(QUEUE.key, {"run1": stage.now + 60_000})

    stage.merge("a", stage.payload("new"), WAIT, LONGEST)

    assert not stage.redis.exists("arq:retry:run1")
    assert stage.redis.zscore(QUEUE.key, "run1") == stage.now + WAIT
    stage.now += WAIT
    assert stage.claim() == ["new"]


def test_who_is_put_off_leaves_its_tenants_lane(stage: Stage) -> None:
    stage.merge("a", of_tenant(stage, 0, "old"), 0, 60_000)
    for number in range(20):
        stage.enqueue(of_tenant(stage, 0, f"x{number}"))
    stage._tick([], free=1)
    stage.merge("a", of_tenant(stage, 0, "new"), 60_000, 600_000)

    assert "new" not in stage.claim()
    stage.now += 60_000
    assert "new" in stage.claim()
