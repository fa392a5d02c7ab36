"""An attempt in hand, without servers: deadlines, stops and hooks."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any, TypeAlias

import pytest
from arq.worker import func
from structlog.testing import capture_logs

from jobs.kit import QUEUES, Fixed, Job, JobContext, Payload, Retry
from worker.codec import dumps
from worker.ending import Ending, Failure, State
from worker.engine.attempt import Attempts
from worker.engine.claims import Claim
from worker.engine.hands import Hands, InHand, Stop
from worker.engine.hooks import Hooks
from worker.runner import Policy, Runner

Coroutine: TypeAlias = Callable[..., Awaitable[Any]]
TWICE = Retry(attempts=2, backoff=Fixed(60, jitter=0))


async def _unused(ctx: JobContext, payload: Payload) -> None:
    return None


class House:
    """Hands with one job, whose coroutine is given."""

    def __init__(self, coroutine: Coroutine, *, timeout: float = 5, **hooks: Any) -> None:
        job = Job(
            name="testing_attempt.job",
            queue="default",
            payload=Payload,
            function=_unused,
            retry=TWICE,
            timeout=timedelta(seconds=timeout),
            schedule=None,
            result_ttl=timedelta(hours=1),
            aliases=(),
            sensitive=frozenset(),
        )
        runner = Runner(
            jobs={job.name: job},
            functions={job.name: func(coroutine, name=job.name)},  # type: ignore[arg-type]  # ARQ names its parameter
            context={},
            policy=Policy(queues=QUEUES, unknown_job_grace=timedelta(0), accept_pickle=False),
            clock=lambda: datetime.now(UTC),
        )
        self.attempts = Attempts(runner, clock=time, worker_id="w1", hooks=Hooks(**hooks))
        self.free = asyncio.Event()
        self.hands = Hands(self.attempts, clock=time, on_free=self.free.set)
        self.attempts.hands = self.hands

    def start(self) -> Claim:
        raw = dumps({"t": None, "f": "testing_attempt.job", "a": [{}], "k": {}, "et": 1, "h": {}})
        claim = Claim("a", QUEUES["default"], "t", raw, 0, 0, 0, "e")
        self.hands.start(claim)
        return claim

    async def end(self) -> InHand:
        async with asyncio.timeout(10):
            await self.free.wait()
        (hand,) = self.hands.done(9)
        self.hands.close()
        return hand

    async def ending(self) -> Ending:
        ending = (await self.end()).ending
        assert ending is not None
        return ending

    async def failure(self) -> Failure:
        failure = (await self.ending()).failure
        assert failure is not None
        return failure


async def forever(ctx: Any, payload: Any) -> None:
    await asyncio.Event().wait()


async def at_once(ctx: Any, payload: Any) -> str:
    return "done"


# Out of time


async def test_a_job_that_swallows_its_deadline_is_late_all_the_same() -> None:
    async def go_on(ctx: Any, payload: Any) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done"
        return "never"

    house = House(go_on, timeout=0.02)
    house.start()
    failure = await house.failure()

    assert failure.error_type == "JobTimeoutError"
    assert failure.message == "it ran out of time after 0.02 s"


async def test_an_error_on_the_way_out_of_time_is_the_one_that_is_told() -> None:
    async def clean_up_badly(ctx: Any, payload: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")

    house = House(clean_up_badly, timeout=0.02)
    house.start()

    assert (await house.failure()).error_type == "ValueError"


async def test_a_short_deadline_behind_a_long_one_is_kept() -> None:
    house = House(forever, timeout=60)
    house.start()
    await asyncio.sleep(0)
    (hand,) = house.hands._in_hand.values()
    house.hands.begin(hand, 0.01)

    assert (await house.failure()).error_type == "JobTimeoutError"


async def test_a_job_that_ignores_being_stopped_is_told_again_and_people_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.engine.hands._PATIENCE", 0.01)

    async def stubborn(ctx: Any, payload: Any) -> str:
        for _ in range(4):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue
        return "at last"

    house = House(stubborn, timeout=0.01)
    with capture_logs() as log:
        house.start()
        failure = await house.failure()

    assert failure.error_type == "JobTimeoutError"
    assert [line["event"] for line in log] == ["A job ignores that it was stopped"]
    assert "in stubborn" in log[0]["stack"]


# Being stopped


@pytest.mark.parametrize(
    ("why", "state"), [(Stop.SHUTDOWN, State.RELEASED), (Stop.ABORTED, State.CANCELLED)]
)
async def test_a_stopped_attempt_spends_nothing(why: Stop, state: State) -> None:
    house = House(forever)
    house.start()
    await asyncio.sleep(0.01)

    house.hands.stop(why)
    hand = await house.end()

    assert hand.ending is not None
    assert hand.finish is not None
    assert (hand.ending.state, hand.finish.spends_attempt) == (state, False)


async def test_an_attempt_whose_lease_is_lost_ends_nothing() -> None:
    house = House(forever)
    claim = house.start()
    await asyncio.sleep(0.01)

    house.hands.stop(Stop.LEASE_LOST, [claim])
    await house.free.wait()

    assert (len(house.hands), house.hands.has_done, house.hands.counts) == (0, False, {})


async def test_a_run_that_redis_gives_us_again_goes_on_under_the_new_token() -> None:
    house = House(forever)
    old = house.start()
    await asyncio.sleep(0.01)
    again = Claim("a", QUEUES["default"], "t2", old.raw, 0, 0, 0, "e", crashes=1)

    house.hands.start(again)
    house.hands.stop(Stop.LEASE_LOST, [old])  # somebody noticed late
    house.hands.stop(Stop.SHUTDOWN, [again])
    hand = await house.end()

    assert hand.finish is not None
    assert (hand.finish.claim.token, hand.finish.claim.crashes) == ("t2", 0)


# Hooks


async def test_hooks_see_what_happened() -> None:
    seen: list[tuple[str, Any, Any]] = []

    def hook(name: str) -> Coroutine:
        async def note(ctx: dict[str, Any]) -> None:
            seen.append((name, ctx["job_name"], ctx.get("outcome")))

        return note

    house = House(at_once, start=hook("start"), end=hook("end"), after=hook("after"))
    house.start()
    await house.attempts.after([await house.end()])

    name = "testing_attempt.job"
    assert seen == [("start", name, None), ("end", name, "succeeded"), ("after", name, "succeeded")]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError()])
async def test_no_hook_fails_a_run(error: BaseException) -> None:
    async def fail(ctx: dict[str, Any]) -> None:
        raise error

    house = House(at_once, start=fail, end=fail, after=fail)
    with capture_logs() as log:
        house.start()
        hand = await house.end()
        await house.attempts.after([hand])

    assert hand.ending is not None
    assert hand.ending.state is State.SUCCEEDED
    assert len(log) == 3


async def test_a_hook_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.hooks._WITHIN", 0.01)

    async def hang(ctx: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    house = House(at_once, start=hang)
    house.start()

    assert (await house.ending()).state is State.SUCCEEDED
