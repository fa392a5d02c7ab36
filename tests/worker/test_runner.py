"""One attempt without servers: what `test_outcomes.py` does not show of the judgement."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast

import pytest
from arq.worker import func
from typing_extensions import override

from clients.errors import DeliveryUnknownError, ServiceUnavailableError
from jobs.kit import QUEUES, Cancel, Fixed, Job, JobContext, Payload, Queue, Retry, Snooze
from worker.codec import dumps
from worker.ending import Ending, Reason, State
from worker.engine.claims import Claim
from worker.runner import Policy, Runner

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENQUEUED = NOW - timedelta(minutes=5)
TWICE = Retry(attempts=2, backoff=Fixed(60, jitter=0))
Coroutine: TypeAlias = Callable[[dict[str, Any], Any], Awaitable[Any]]


async def _unused(ctx: JobContext, payload: Payload) -> None:
    return None


def job_named(name: str, *, retry: Retry | None = None) -> Job[Payload, None]:
    """A job that is declared to nobody else."""
    return Job(
        name=name,
        queue="default",
        payload=Payload,
        function=_unused,
        retry=retry,
        timeout=timedelta(seconds=5),
        schedule=None,
        result_ttl=timedelta(hours=1),
        aliases=(),
        sensitive=frozenset(),
    )


def runner_of(job: Job[Any, Any], coroutine: Coroutine, **policy: Any) -> Runner:
    fields = {"queues": QUEUES, "unknown_job_grace": timedelta(minutes=10), "accept_pickle": False}
    return Runner(
        jobs={job.name: job},
        functions={job.name: func(cast("Any", coroutine), name=job.name)},
        context={"shared": "yes"},
        policy=Policy(**{**fields, **policy}),
        clock=lambda: NOW,
    )


def claim_of(**changes: Any) -> Claim:
    """A fresh claim of a run of `testing_runner.job`."""
    message: dict[str, Any] = {
        "t": None,
        "f": "testing_runner.job",
        "a": [{"x": 1}],
        "k": {},
        "et": 0,
    }
    fields = {
        "run_id": "a",
        "queue": QUEUES["default"],
        "token": "t",
        "raw": dumps({**message, "et": int(ENQUEUED.timestamp() * 1000), "h": {"cid": "c"}}),
        "due_ms": NOW.timestamp() * 1000,
        "attempts_spent": 0,
        "leased_ms": 0,
        "epoch": "e",
    }
    return Claim(**{**fields, **changes})


async def attempt(
    coroutine: Coroutine,
    *,
    spent: int = 0,
    retry: Retry | None = TWICE,
    **policy: Any,
) -> Ending:
    """Run one attempt of a job with this coroutine."""
    job = job_named("testing_runner.job", retry=retry)
    runner = runner_of(job, coroutine, **policy)
    claim = claim_of(attempts_spent=spent)
    call = runner.prepare(claim)
    assert call.message is not None
    return await runner.run(claim, job, call.message, runner.context(claim, call.message))


def raising(error: BaseException) -> Coroutine:
    async def coroutine(ctx: dict[str, Any], payload: Any) -> None:
        raise error

    return coroutine


# What the coroutine gets


async def test_the_coroutine_gets_arqs_context_and_the_payload() -> None:
    seen: dict[str, Any] = {}

    async def look(ctx: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
        seen.update(ctx)
        return payload

    ending = await attempt(look, spent=1)

    assert (ending.state, ending.result) == (State.SUCCEEDED, {"x": 1})
    assert seen == {
        "shared": "yes",
        "job_id": "a",
        "job_try": 2,
        "enqueue_time": ENQUEUED,
        "score": NOW.timestamp() * 1000,
        "headers": {"cid": "c"},
        "job_name": "testing_runner.job",
    }


# How long it waits


@pytest.mark.parametrize(
    ("kind", "rests"), [(ServiceUnavailableError, True), (DeliveryUnknownError, False)]
)
async def test_one_lost_answer_lets_nobody_else_rest(
    kind: type[ServiceUnavailableError], *, rests: bool
) -> None:
    ending = await attempt(raising(kind("later", retry_after=timedelta(minutes=10))))

    assert ending.wait >= timedelta(minutes=10)
    assert ending.rests is rests


@pytest.mark.parametrize(
    ("asked", "wait"), [(None, 60), (timedelta(seconds=5), 60), (timedelta(hours=1), 3600)]
)
async def test_the_longer_of_backoff_and_retry_after_is_waited(
    asked: timedelta | None, wait: float
) -> None:
    ending = await attempt(raising(ServiceUnavailableError("busy", retry_after=asked)))

    assert (ending.state, ending.wait) == (State.RETRYING, timedelta(seconds=wait))
    assert ending.spends_attempt


@pytest.mark.parametrize(("spent", "state"), [(0, State.RETRYING), (1, State.DEAD)])
async def test_a_job_without_a_policy_has_its_queues(spent: int, state: State) -> None:
    queues = {"default": Queue("default", 1, TWICE)}

    ending = await attempt(raising(ValueError("no")), spent=spent, retry=None, queues=queues)

    assert ending.state is state


async def test_a_snooze_says_how_long_and_why_and_spends_nothing() -> None:
    ending = await attempt(raising(Snooze(timedelta(hours=2), "office hours")), spent=1)

    assert (ending.state, ending.wait) == (State.SNOOZED, timedelta(hours=2))
    assert (ending.reason, ending.spends_attempt, ending.failure) == ("office hours", False, None)


async def test_a_cancel_in_the_last_attempt_is_no_failure() -> None:
    ending = await attempt(raising(Cancel("paid")), spent=1)

    assert (ending.state, ending.reason, ending.failure) == (State.CANCELLED, "paid", None)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), BaseException("odd")])
async def test_not_even_an_odd_error_leaves_the_attempt(error: BaseException) -> None:
    ending = await attempt(raising(error))

    assert ending.failure is not None
    assert (ending.state, ending.failure.error_type) == (State.RETRYING, type(error).__name__)


# What is kept of an error


async def test_neither_message_nor_traceback_shows_personal_data() -> None:
    ending = await attempt(raising(ValueError("no mailbox jane.doe@customer.example")))

    failure = ending.failure
    assert failure is not None
    assert "jane.doe" not in failure.message + failure.traceback
    assert failure.message.startswith("no mailbox ")


async def test_an_error_of_any_length_is_kept_within_bounds() -> None:
    ending = await attempt(raising(ValueError("x" * 500_000)))

    assert ending.failure is not None
    assert len(ending.failure.message) <= 16_000
    assert len(ending.failure.traceback) <= 16_000


async def test_an_error_that_cannot_be_printed_is_remembered_by_its_type() -> None:
    class MuteError(Exception):
        @override
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    ending = await attempt(raising(MuteError()))

    assert ending.failure is not None
    assert (ending.failure.error_type, ending.failure.message) == ("MuteError", "MuteError")


# Being stopped


async def test_being_told_to_stop_is_the_callers_business() -> None:
    begun = asyncio.Event()

    async def wait(ctx: dict[str, Any], payload: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(attempt(wait))
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


# What is not run at all


def prepared(**changes: Any) -> Ending | None:
    return (
        runner_of(job_named("testing_runner.job"), raising(AssertionError()))
        .prepare(claim_of(**changes))
        .ending
    )


def test_a_run_with_a_payload_and_a_job_is_run() -> None:
    assert prepared() is None
    assert prepared(crashes=2) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"raw": b"?"}, Reason.UNDECODABLE),
        ({"crashes": 3}, Reason.POISON),
        ({"raw": b"?", "crashes": 3}, Reason.UNDECODABLE),
    ],
)
def test_what_cannot_run_is_dead_with_its_reason(changes: dict[str, Any], reason: Reason) -> None:
    ending = prepared(**changes)

    assert ending is not None
    assert (ending.state, ending.reason) == (State.DEAD, reason)
    assert ending.failure is not None
    assert ending.failure.message


def test_a_run_whose_payload_is_gone_has_expired() -> None:
    ending = prepared(raw=None)

    assert ending is not None
    assert ending.state is State.EXPIRED
    assert ending.failure is not None


@pytest.mark.parametrize(
    ("expires", "changes", "is_late"),
    [
        (-1, {}, True),
        (1, {}, False),
        (-1, {"attempts_spent": 1}, False),
        (-1, {"crashes": 1}, False),
    ],
)
def test_a_run_that_never_started_is_not_started_too_late(
    expires: int, changes: dict[str, Any], *, is_late: bool
) -> None:
    latest = int((NOW.timestamp() + expires) * 1000)
    message: dict[str, Any] = {"f": "testing_runner.job", "a": [{}], "k": {}, "et": 0}

    ending = prepared(raw=dumps({**message, "h": {"expires": str(latest)}}), **changes)

    assert (ending is not None and ending.state is State.EXPIRED) == is_late


@pytest.mark.parametrize(("seconds", "is_meant"), [(-1, False), (0, True), (60, True)])
def test_only_an_abort_after_the_enqueue_is_meant(seconds: int, *, is_meant: bool) -> None:
    ending = prepared(aborted_ms=(ENQUEUED.timestamp() + seconds) * 1000)

    assert (ending is not None and ending.state is State.CANCELLED) == is_meant


@pytest.mark.parametrize(
    ("minutes", "state"),
    [(None, State.RELEASED), (0, State.RELEASED), (9, State.RELEASED), (10, State.DEAD)],
)
def test_an_unknown_job_waits_for_the_grace(minutes: int | None, state: State) -> None:
    since = None if minutes is None else (NOW.timestamp() - 60 * minutes) * 1000
    runner = runner_of(job_named("testing_runner.other"), raising(AssertionError()))

    ending = runner.prepare(claim_of(unknown_ms=since)).ending

    assert ending is not None
    assert ending.state is state
    if state is State.RELEASED:
        assert ending.is_unknown
        assert timedelta(seconds=5) <= ending.wait <= timedelta(seconds=15)
    else:
        assert ending.reason is Reason.UNKNOWN_JOB
