"""One attempt: bytes -> payload -> context -> coroutine -> ending (design, section 5)."""

import asyncio
import random
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from arq.worker import Function

from clients.errors import RequestRejectedError, ServiceUnavailableError
from jobs.kit import Cancel, Job, PayloadError, Queue, Retry, Snooze
from worker.codec import JobMessage, UndecodableError, decode_job
from worker.ending import Ending, Failure, Reason, State
from worker.engine.store import Claim
from worker.telemetry.redaction import redact_text

# A run that ended with its worker this often is not given to another one.
MAX_CRASHES = 3
# A run of an unknown job comes back after 5 to 15 s, so that a worker that knows it finds it soon.
_UNKNOWN_WAIT = (5.0, 15.0)
_TRACEBACK_LIMIT = 8_000  # characters, the last ones: there the error stands


class JobTimeoutError(Exception):
    """The job took longer than it may."""


class StrayCancelError(Exception):
    """A CancelledError left the job although nobody had cancelled it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the settings say about attempts."""

    queues: Mapping[str, Queue]
    unknown_job_grace: timedelta
    accept_pickle: bool

    def retry_of(self, job: Job[Any, Any]) -> Retry:
        return job.retry or self.queues[job.queue].retry


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded claim: a job to run with a message, or the ending that it has without running."""

    message: JobMessage | None
    job: Job[Any, Any] | None = None
    ending: Ending | None = None


class Runner:
    """Turns a claim into an ending. Raises only CancelledError, and only when told to stop.

    `functions` are ARQ functions by job name; `context` is ARQ's startup context.
    """

    def __init__(
        self,
        *,
        jobs: Mapping[str, Job[Any, Any]],
        functions: Mapping[str, Function],
        context: Mapping[str, Any],
        policy: Policy,
        clock: Callable[[], datetime],
    ) -> None:
        self._jobs = jobs
        self._functions = functions
        self._context = context
        self._policy = policy
        self._clock = clock

    def prepare(self, claim: Claim) -> Call:
        """Decode and look up; see whether there is anything to run. Never raises."""
        if claim.raw is None:
            return Call(None, ending=_dead(Reason.EXPIRED, "the payload expired before it started"))
        try:
            message = decode_job(claim.raw, accept_pickle=self._policy.accept_pickle)
        except UndecodableError as error:
            return Call(None, ending=_dead_of(Reason.UNDECODABLE, error))
        job = self._jobs.get(message.function)
        if claim.aborted_at is not None and claim.aborted_at >= message.enqueued_at:
            ending = Ending(state=State.CANCELLED, reason="aborted before it started")
        elif claim.crashes >= MAX_CRASHES:
            sentence = f"{claim.crashes} workers ended while they had this run in hand"
            ending = _dead(Reason.POISON, sentence)
        elif job is None:
            ending = self._unknown(claim, message)
        else:
            return Call(message, job)
        return Call(message, job, ending)

    def _unknown(self, claim: Claim, message: JobMessage) -> Ending:
        now = self._clock()
        waited = now - (claim.unknown_since or now)
        sentence = f"no job is called {message.function!r} here"
        if claim.unknown_since is not None and waited >= self._policy.unknown_job_grace:
            return _dead(Reason.UNKNOWN_JOB, f"{sentence}, nor on another worker for {waited}")
        wait = timedelta(seconds=random.uniform(*_UNKNOWN_WAIT))  # noqa: S311 - spreads, hides nothing
        return Ending(state=State.RELEASED, wait=wait, reason=sentence, is_unknown=True)

    def job_of(self, message: JobMessage | None) -> Job[Any, Any] | None:
        return self._jobs.get(message.function) if message else None

    async def run(self, claim: Claim, job: Job[Any, Any], message: JobMessage) -> Ending:
        """Run the coroutine within its time and judge how it ended."""
        context = {
            **self._context,
            "job_id": claim.run_id,
            "job_try": claim.attempt,
            "enqueue_time": message.enqueued_at,
            "score": claim.due_at.timestamp() * 1000,
            "headers": message.headers,
        }
        coroutine = self._functions[job.name].coroutine(context, message.arguments)
        deadline = asyncio.timeout(job.timeout.total_seconds())
        try:
            async with deadline:
                result = await coroutine
        except TimeoutError as error:
            if not deadline.expired():
                return self._failed(claim, job, error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            stray = StrayCancelError("the job was cancelled from within")
            return self._failed(claim, job, stray)
        except BaseException as error:  # noqa: BLE001 - even SystemExit ends the run, not the worker
            return self._failed(claim, job, error)
        else:
            if not deadline.expired():
                return Ending(state=State.SUCCEEDED, result=result)
        late = JobTimeoutError(f"it ran out of time after {job.timeout.total_seconds():g} s")
        return self._failed(claim, job, late)

    def _failed(self, claim: Claim, job: Job[Any, Any], error: BaseException) -> Ending:
        match error:
            case Cancel():
                return Ending(state=State.CANCELLED, reason=error.reason)
            case Snooze():
                return Ending(state=State.SNOOZED, wait=error.delay, reason=error.reason)
            case PayloadError():
                return _dead_of(Reason.INVALID_PAYLOAD, error)
            case RequestRejectedError():
                return _dead_of(Reason.REJECTED, error)
        retry = self._policy.retry_of(job)
        if claim.attempt >= retry.attempts:
            return _dead_of(Reason.ATTEMPTS_SPENT, error)
        wait = retry.backoff.delay(claim.attempt, chance=random.random())  # noqa: S311 - spreads
        if isinstance(error, ServiceUnavailableError) and error.retry_after is not None:
            wait = max(wait, error.retry_after)
        return Ending(state=State.RETRYING, wait=wait, failure=failure_of(error))


def _dead(reason: Reason, message: str) -> Ending:
    return Ending(state=State.DEAD, reason=reason, failure=Failure(reason, message, ""))


def _dead_of(reason: Reason, error: BaseException) -> Ending:
    return Ending(state=State.DEAD, reason=reason, failure=failure_of(error))


def failure_of(error: BaseException) -> Failure:
    """What is kept of an error: redacted, bounded, and without the values of variables."""
    message = type(error).__name__
    with suppress(Exception):  # a __str__ may fail too
        message = str(error)
    lines = "".join(traceback.format_exception(error))
    return Failure(
        type(error).__name__, redact_text(message), redact_text(lines[-_TRACEBACK_LIMIT:])
    )
