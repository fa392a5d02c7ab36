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

from clients.errors import (
    DeliveryUnknownError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from jobs.kit import Cancel, Job, PayloadError, Queue, RateLimited, Retry, Snooze
from worker.codec import EXPIRES, JobMessage, UndecodableError, decode_job
from worker.ending import Ending, Failure, Reason, State
from worker.engine.claims import Claim, instant
from worker.message import read_again
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


@dataclass(slots=True)  # not frozen: one is made for every attempt
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
            return Call(None, ending=_expired("its payload expired in Redis before it started"))
        try:
            message = decode_job(claim.raw, accept_pickle=self._policy.accept_pickle)
        except UndecodableError as error:
            return Call(None, ending=_dead_of(Reason.UNDECODABLE, error))
        job = self._jobs.get(message.function)
        if claim.aborted_ms is not None and instant(claim.aborted_ms) >= message.enqueued_at:
            ending = Ending(state=State.CANCELLED, reason="aborted before it started")
        elif claim.crashes >= MAX_CRASHES:
            sentence = f"{claim.crashes} workers ended while they had this run in hand"
            ending = _dead(Reason.POISON, sentence)
        elif self._is_late(claim, message):
            ending = _expired("it was not to be started after so long")
        elif job is None:
            ending = self._unknown(claim, message)
        elif job.has_words and not message.words and (words := _words(job, message)):
            ending = Ending(state=State.RELEASED, read_again=read_again(message, words))
        else:
            return Call(message, job)
        return Call(message, job, ending)

    def _is_late(self, claim: Claim, message: JobMessage) -> bool:
        """Only of a run that never started: what has begun goes on."""
        latest = message.headers.get(EXPIRES, "")
        if not latest.isdigit() or claim.attempts_spent or claim.crashes:
            return False
        return int(latest) < self._clock().timestamp() * 1000

    def _unknown(self, claim: Claim, message: JobMessage) -> Ending:
        now = self._clock()
        since = now if claim.unknown_ms is None else instant(claim.unknown_ms)
        waited = now - since
        sentence = f"no job is called {message.function!r} here"
        if claim.unknown_ms is not None and waited >= self._policy.unknown_job_grace:
            return _dead(Reason.UNKNOWN_JOB, f"{sentence}, nor on another worker for {waited}")
        wait = timedelta(seconds=random.uniform(*_UNKNOWN_WAIT))  # noqa: S311 - spreads, hides nothing
        return Ending(state=State.RELEASED, wait=wait, reason=sentence, is_unknown=True)

    def context(self, claim: Claim, message: JobMessage) -> dict[str, Any]:
        """ARQ's context of one attempt, and the job's name and headers."""
        return {
            **self._context,
            "job_id": claim.run_id,
            "job_try": claim.attempts_spent + 1,
            "enqueue_time": message.enqueued_at,
            "score": claim.due_ms,
            "headers": message.headers,
            "job_name": message.function,
        }

    async def run(
        self, claim: Claim, job: Job[Any, Any], message: JobMessage, context: dict[str, Any]
    ) -> Ending:
        """Run the coroutine and judge how it ended."""
        try:
            result = await self._functions[job.name].coroutine(context, message.arguments)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return self.judge(claim, job, StrayCancelError("the job was cancelled from within"))
        except BaseException as error:  # noqa: BLE001 - even SystemExit ends the run, not the worker
            return self.judge(claim, job, error)
        return Ending(State.SUCCEEDED, result)

    def judge(self, claim: Claim, job: Job[Any, Any], error: BaseException) -> Ending:
        """What becomes of a run whose attempt raised this."""
        match error:
            case Cancel():
                return Ending(state=State.CANCELLED, reason=error.reason)
            case Snooze():
                rests = isinstance(error, RateLimited)
                return Ending(
                    state=State.SNOOZED, wait=error.delay, reason=error.reason, rests=rests
                )
            case PayloadError():
                return _dead_of(Reason.INVALID_PAYLOAD, error)
            case RequestRejectedError():
                return _dead_of(Reason.REJECTED, error)
        retry = self._policy.retry_of(job)
        if claim.attempt >= retry.attempts:
            return _dead_of(Reason.ATTEMPTS_SPENT, error)
        wait = retry.backoff.delay(claim.attempt, chance=random.random())  # noqa: S311 - spreads
        said = error.retry_after if isinstance(error, ServiceUnavailableError) else None
        if said is not None:
            wait = max(wait, said)
        # A lost answer says when to look for this message, and nothing of all the others.
        rests = said is not None and not isinstance(error, DeliveryUnknownError)
        return Ending(state=State.RETRYING, wait=wait, failure=failure_of(error), rests=rests)


def _words(job: Job[Any, Any], message: JobMessage) -> list[str]:
    """None for a payload that does not fit: its attempt will say so."""
    try:
        return job.words_of(job.read(message.arguments))
    except PayloadError:
        return []


def _expired(reason: str) -> Ending:
    return Ending(state=State.EXPIRED, reason=reason, failure=Failure("ExpiredError", reason, ""))


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
