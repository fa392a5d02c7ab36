"""One attempt, from a claim to what is told Redis: decode, hooks, coroutine, judgement."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeAlias

from redis.exceptions import RedisError

from jobs.kit.stopping import attempt as current_attempt
from worker.ending import Ending, Failure, Reason, State
from worker.engine.claims import Claim
from worker.engine.hands import Hands, InHand, Stop
from worker.engine.hooks import Hooks, call_hook
from worker.engine.report import finish_of, success_of
from worker.kept_result import kept_result
from worker.records import UNKNOWN, AttemptRecord, attempt_record, success_bytes
from worker.runner import Call, JobTimeoutError, Runner
from worker.telemetry.logs import bind_to_task, get_logger

_log = get_logger(__name__)

_SHOWN = 200  # characters of a foreign run id in the log

# The score that a stock `abort()` gives a run that waits for its time.
_ABORTED_SCORE = 1
_MOMENT = 0.2  # seconds

Aborts: TypeAlias = Callable[[Sequence[str]], Awaitable[Mapping[str, datetime]]]


class Attempts:
    """Runs attempts for `hands`, which is set once both are there."""

    hands: Hands

    def __init__(
        self,
        runner: Runner,
        *,
        clock: Callable[[], float],
        worker_id: str,
        hooks: Hooks,
        aborts: Aborts | None = None,
        lines_of: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._runner = runner
        self._lines_of = lines_of
        self._aborts = aborts
        self._clock = clock
        self._worker_id = worker_id
        self._hooks = hooks
        self._is_debugging = logging.getLogger().isEnabledFor(logging.DEBUG)

    async def __call__(self, hand: InHand) -> None:
        claim = hand.claim
        if claim.due_ms == _ABORTED_SCORE and self._aborts is not None:
            await self._listen(claim, self._aborts)
        call = self._runner.prepare(claim)
        message = hand.message = call.message
        run_id = claim.run_id[:_SHOWN]
        if message is None:
            bind_to_task(run_id, UNKNOWN, claim.queue.name, claim.attempt, claim.run_id)
        else:
            cid = message.headers.get("cid", claim.run_id)
            bind_to_task(run_id, message.function, claim.queue.name, claim.attempt, cid)
        ending = call.ending or await self._run(hand, call)
        if ending is not None:
            self._conclude(hand, call, ending)

    async def _listen(self, claim: Claim, aborts: Aborts) -> None:
        """A stock `abort()` makes a run that waits due, and says a moment later that it did."""
        await asyncio.sleep(_MOMENT)
        with suppress(RedisError, OSError):
            asked = (await aborts([claim.run_id])).get(claim.run_id)
            claim.aborted_ms = None if asked is None else asked.timestamp() * 1000

    async def _run(self, hand: InHand, call: Call) -> Ending | None:
        """The ending, or None when the run is no longer ours to end."""
        job, message = call.job, call.message
        assert job is not None and message is not None  # noqa: S101, PT018 - there was no ending
        context = hand.context = self._runner.context(hand.claim, message)
        if self._hooks.start is not None:
            await call_hook(self._hooks.start, context)
        ending = None
        if hand.stop is None:
            if self._is_debugging:
                _log.debug("Run started")
            current_attempt.set(hand)
            self.hands.begin(hand, job.seconds)
            try:
                ending = await self._runner.run(hand.claim, job, message, context)
            except asyncio.CancelledError:
                if hand.stop is None:
                    raise
            finally:
                hand.is_running = False
        if hand.stop is not None:
            _forget_cancellation()
            ending = self._stopped(hand, call, ending)
        if self._hooks.end is not None and ending is not None:
            await call_hook(self._hooks.end, _told(context, ending))
        return ending

    def _stopped(self, hand: InHand, call: Call, ending: Ending | None) -> Ending | None:
        """Whatever the job made of being stopped is not its own doing."""
        if hand.stop is Stop.TIMEOUT and call.job is not None:
            if ending is not None and ending.state is not State.SUCCEEDED:
                return ending  # an error on the way out tells more
            late = JobTimeoutError(f"it ran out of time after {call.job.seconds:g} s")
            return self._runner.judge(hand.claim, call.job, late)
        if ending is not None and ending.state is State.SUCCEEDED:
            return ending
        if hand.stop is Stop.LEASE_LOST:
            return None
        state = State.CANCELLED if hand.stop is Stop.ABORTED else State.RELEASED
        return Ending(state=state, reason=hand.stop.value if hand.stop else None)

    def _conclude(self, hand: InHand, call: Call, ending: Ending) -> None:
        hand.ended = self._clock()
        job = call.job
        try:
            if ending.state is State.SUCCEEDED and call.message is not None and job is not None:
                record = success_bytes(
                    hand.claim,
                    call.message,
                    started=hand.started,
                    ended=hand.ended,
                    worker=self._worker_id,
                    sensitive=job.sensitive,
                    log=self._lines_of(hand.claim.run_id),
                    result=kept_result(hand.claim.run_id, ending.result),
                )
                hand.finish = success_of(hand, call.message, job, ending, record)
            else:
                told = self._record(hand, call, ending)
                hand.finish = finish_of(hand, call.message, job, ending, told)
        except Exception as error:  # noqa: BLE001 - for the sake of what follows
            # Whatever it is about this ending, the run must not come round again because of it.
            _log.exception("Run ended in a way that cannot be recorded")
            failure = Failure(type(error).__name__, "it ended in a way that cannot be recorded", "")
            ending = Ending(state=State.DEAD, reason=Reason.UNRECORDABLE, failure=failure)
            hand.finish = finish_of(hand, None, job, ending, self._record(hand, call, ending))
        hand.ending = ending

    def _record(self, hand: InHand, call: Call, ending: Ending) -> AttemptRecord:
        return attempt_record(
            hand.claim,
            call.message,
            ending,
            started=hand.started,
            ended=hand.ended,
            worker=self._worker_id,
            sensitive=call.job.sensitive if call.job else None,
            log=self._lines_of(hand.claim.run_id),
        )

    async def after(self, hands: list[InHand]) -> None:
        """Call the last hook for attempts whose end Redis has taken."""
        for hand in hands:
            message, ending = hand.message, hand.ending
            if self._hooks.after is None or message is None or ending is None:
                continue
            if ending.read_again is not None:
                continue
            context = hand.context or self._runner.context(hand.claim, message)
            await call_hook(self._hooks.after, _told(context, ending))


def _told(context: dict[str, Any], ending: Ending) -> dict[str, Any]:
    context["outcome"] = str(ending.state)
    context["error_type"] = ending.failure.error_type if ending.failure else None
    return context


def _forget_cancellation() -> None:
    """We cancelled this task to stop the job, and go on: to asyncio it must not look cancelled."""
    task = asyncio.current_task()
    while task is not None and task.uncancel():
        pass
