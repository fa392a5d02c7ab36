"""Debounce, throttle and rates against models, on the real scripts and a clock that is set."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from jobs.kit import QUEUES
from worker.engine.claims import Claim, Finish, claims_of
from worker.engine.scripts import script
from worker.engine.store import EVENTS_LIMIT, RunStore

QUEUE = QUEUES["default"]
CLOCK = "test:now"
WAIT, LONGEST, PER, COUNT = 300, 1000, 400, 3  # ms, and starts
GUARDED = PER + 50 + 4  # as controls.lua has it
KEYS = st.sampled_from(["a", "b"])
TIME = "local time = redis.call('TIME')"
# Asked once more, Redis says what the test does: seconds and microseconds.
SET_TIME = (
    f"local set = tonumber(redis.call('GET', '{CLOCK}'))\n"
    "local time = { math.floor(set / 1000), (set % 1000) * 1000 }"
)
WAITED = st.sampled_from([0, 1, 50, 299, 300, 301, 400, 453, 454, 1000])
REQUESTS = st.tuples(st.just("ask"), KEYS)
STEPS = st.lists(st.one_of(REQUESTS, st.tuples(st.just("wait"), WAITED)), max_size=40)
MODEL = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Stage:
    """The scripts of one worker, at a time that is set."""

    def __init__(self, redis: Redis) -> None:
        redis.flushall()
        self.redis = redis
        self.now = 1_000_000
        self._store = RunStore(
            AsyncRedis(), queues=[QUEUE], worker_id="w", lease=timedelta(seconds=30)
        )
        self._scripts = {name: self._script(name) for name in ("tick", "merge", "enqueue")}
        self._serial = 0

    def _script(self, name: str) -> Any:
        text = script(name).text
        assert TIME in text
        return self.redis.register_script(text.replace(TIME, SET_TIME))

    def call(self, name: str, *arguments: Any) -> Any:
        self.redis.set(CLOCK, self.now)
        return self._scripts[name](keys=[QUEUE.key], args=arguments)

    def payload(self, text: str, *words: str) -> bytes:
        head = '{"h":{"c":[' + ",".join(f'"{word}"' for word in words) + "]},"
        return (head if words else '{"h":{},').encode() + text.encode()

    def merge(self, key: str, payload: bytes, wait: int, longest: int | str) -> None:
        self._serial += 1
        head = ("job", "", wait, EVENTS_LIMIT, "replace", longest)
        self.call("merge", *head, key, f"run{self._serial}", payload)

    def enqueue(self, payload: bytes) -> None:
        self._serial += 1
        self.call("enqueue", "job", "", 0, 1, EVENTS_LIMIT, "", 0, f"run{self._serial}", payload)

    def claim(self) -> list[str]:
        """The texts of all runs that may start now; they are over at once."""
        texts: list[str] = []
        while claims := self._tick([]):
            texts += [(claim.raw or b"").rpartition(b",")[2].decode() for claim in claims]
            self._tick([_end(claim) for claim in claims], free=0)
        return texts

    def _tick(self, finishes: list[Finish], free: int = 50) -> list[Claim]:
        tick = self._store.tick(finishes, {QUEUE.name: free})
        reply = self.call("tick", *tick.arguments[1:])
        self._store.epoch = reply[0].decode()
        return claims_of(reply, [QUEUE], tick.token)


def _end(claim: Claim) -> Finish:
    words = (claim.raw or b"").partition(b"]")[0] if b'"c"' in (claim.raw or b"") else b""
    return Finish(claim, "succeeded", b"{}", words=words)


@dataclass
class Waiting:
    due: int
    first: int
    text: str


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    redis = Redis.from_url(redis_url)
    yield redis
    redis.close()


@MODEL
@given(steps=STEPS)
def test_debounce_is_as_its_model_says(redis: Redis, steps: list[tuple[str, Any]]) -> None:
    stage, waiting = Stage(redis), dict[str, Waiting]()
    for number, (what, value) in enumerate(steps):
        if what == "wait":
            stage.now += value
            due = [key for key, one in waiting.items() if one.due <= stage.now]
            assert sorted(stage.claim()) == sorted(waiting.pop(key).text for key in due)
            continue
        text = f"{value}{number}"
        stage.merge(value, stage.payload(text), WAIT, LONGEST)
        known = waiting.get(value)
        if known is None:
            waiting[value] = Waiting(stage.now + WAIT, stage.now, text)
        else:
            known.due, known.text = min(stage.now + WAIT, known.first + LONGEST), text


@MODEL
@given(steps=STEPS)
def test_throttle_is_as_its_model_says(redis: Redis, steps: list[tuple[str, Any]]) -> None:
    stage, waiting, last = Stage(redis), dict[str, str](), dict[str, int]()
    for number, (what, value) in enumerate(steps):
        if what == "wait":
            stage.now += value
            free = [key for key in waiting if last.get(key, 0) + GUARDED <= stage.now]
            assert sorted(stage.claim()) == sorted(waiting.pop(key) for key in free)
            last.update(dict.fromkeys(free, stage.now))
            continue
        text = f"{value}{number}"
        stage.merge(value, stage.payload(text, f"r1/{PER}/{value}"), 0, "")
        waiting[value] = text


@dataclass
class Rated:
    line: deque[str] = field(default_factory=deque)
    starts: list[int] = field(default_factory=list)


@MODEL
@given(steps=STEPS)
def test_a_rate_is_as_its_model_says(redis: Redis, steps: list[tuple[str, Any]]) -> None:
    """As many as may start do, those that came first; however the clock goes."""
    stage, keys = Stage(redis), {"a": Rated(), "b": Rated()}
    for number, (what, value) in enumerate(steps):
        if what == "ask":
            stage.now += 1  # of one millisecond the order is nobody's
            text = f"{value}{number}"
            stage.enqueue(stage.payload(text, f"r{COUNT}/{PER}/{value}"))
            keys[value].line.append(text)
            continue
        stage.now += value
        expected = []
        for one in keys.values():
            recent = [at for at in one.starts if at + GUARDED > stage.now]
            for _ in range(min(COUNT - len(recent), len(one.line))):
                expected.append(one.line.popleft())
                one.starts.append(stage.now)
        assert sorted(stage.claim()) == sorted(expected)
    waiting = sum(len(one.line) for one in keys.values())
    assert redis.zcard(QUEUE.key) == waiting
