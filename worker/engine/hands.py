"""The runs this worker has in hand: starts them, stops them, and finishes them."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from time import monotonic

from redis.exceptions import RedisError, ResponseError
from structlog.typing import FilteringBoundLogger

from jobs.kit import Queue
from worker.codec import JobMessage
from worker.ending import Ending, Reason, State
from worker.engine.report import finish_of, report
from worker.engine.store import Claim, Finish, RunStore
from worker.records import UNKNOWN, attempt_record
from worker.runner import Call, Runner, failure_of
from worker.telemetry.logs import bind_run
from worker.telemetry.metrics import Metrics

_PATIENCE = 3.0  # seconds that a stopped job has to clean up before it is told again
_SHOWN = 200  # characters of a foreign run id in the log
_LONGEST_BACKOFF = 2.0  # seconds between tries to tell Redis how a run ended


class Stop(Enum):
    """Why a running attempt is stopped from outside."""

    SHUTDOWN = "the worker shuts down"
    LEASE_LOST = "the lease was lost"
    ABORTED = "aborted"


@dataclass(slots=True, eq=False)
class InHand:
    claim: Claim
    started_at: datetime
    stop: Stop | None = None
    is_running: bool = False
    enqueued_at: datetime | None = None
    told_at: float | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Hands:
    """All attempts of one worker process. `on_free` is called when a slot becomes free."""

    def __init__(
        self,
        *,
        store: RunStore,
        runner: Runner,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: Callable[[], datetime],
        worker_id: str,
        on_free: Callable[[], None],
    ) -> None:
        self._store = store
        self._runner = runner
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._worker_id = worker_id
        self._on_free = on_free
        self._in_hand: set[InHand] = set()
        self._counts: Counter[str] = Counter()
        # How attempts ended, since the start.
        self.ended: Counter[State] = Counter()

    def __len__(self) -> int:
        return len(self._in_hand)

    @property
    def counts(self) -> dict[str, int]:
        """How many are in hand, by queue name."""
        return {name: count for name, count in self._counts.items() if count}

    @property
    def claims(self) -> list[Claim]:
        return [hand.claim for hand in self._in_hand]

    def free(self, queue: Queue) -> int:
        return max(queue.concurrency - self._counts[queue.name], 0)

    def start(self, claim: Claim, *, stop: Stop | None = None) -> None:
        """Take a claim; with `stop` it is given back at once."""
        hand = InHand(claim, self._clock(), stop)
        self._in_hand.add(hand)
        self._counts[claim.queue.name] += 1
        self._metrics.active_jobs.labels(claim.queue.name).inc()
        hand.task = asyncio.get_running_loop().create_task(self._attempt(hand))
        hand.task.add_done_callback(lambda task: self._done(hand, task))

    def stop(self, why: Stop, claims: Iterable[Claim] | None = None) -> None:
        """Stop these attempts, or all; those that already finish go on finishing.

        By claim and not by run: the run may have been claimed again meanwhile.
        """
        wanted = None if claims is None else {id(claim) for claim in claims}
        for hand in self._in_hand:
            if wanted is None or id(hand.claim) in wanted:
                hand.stop = hand.stop or why
                self._cancel(hand)

    def _cancel(self, hand: InHand) -> None:
        """Cancel the coroutine; again after a while, for one that swallowed it."""
        now = monotonic()
        is_told = hand.told_at is not None and now - hand.told_at < _PATIENCE
        if hand.is_running and hand.task is not None and not is_told:
            hand.told_at = now
            hand.task.cancel()

    def abort(self, asked: Mapping[str, datetime]) -> None:
        """Stop runs that somebody asked to abort, after they had been enqueued: ids come again."""
        meant = [
            hand.claim
            for hand in self._in_hand
            if hand.enqueued_at is not None
            and hand.claim.run_id in asked
            and asked[hand.claim.run_id] >= hand.enqueued_at
        ]
        self.stop(Stop.ABORTED, meant)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - a deadline for others, not for itself
        """Wait until nothing is in hand, at most `timeout` seconds."""
        tasks = [hand.task for hand in self._in_hand if hand.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)

    def _done(self, hand: InHand, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(hand)
        self._counts[hand.claim.queue.name] -= 1
        self._metrics.active_jobs.labels(hand.claim.queue.name).dec()
        if not task.cancelled() and task.exception() is not None:
            # Our own mistake, not the job's: the lease lapses and another worker takes the run.
            self._log.error("Attempt broke in the engine", exc_info=task.exception())
        self._on_free()

    async def _attempt(self, hand: InHand) -> None:
        claim = hand.claim
        call = self._runner.prepare(claim)
        message = call.message
        hand.enqueued_at = message.enqueued_at if message else None
        with bind_run(
            run_id=claim.run_id[:_SHOWN],
            job=message.function if message else UNKNOWN,
            queue=claim.queue.name,
            attempt=claim.attempt,
            correlation_id=message.headers.get("cid", claim.run_id) if message else claim.run_id,
        ):
            ending = call.ending or await self._run(hand, call)
            if ending is None:
                self._metrics.lease_lost.labels(claim.queue.name).inc()
                self._log.error("Run stopped: its lease was lost, another worker may have it")
            else:
                await self._end(hand, message, ending)

    async def _run(self, hand: InHand, call: Call) -> Ending | None:
        """The ending, or None when the run is no longer ours to end."""
        assert call.job is not None and call.message is not None  # noqa: S101, PT018 - no ending
        if hand.stop is None:
            self._log.info("Run started", wait_ms=_ms(hand.started_at - hand.claim.due_at))
            hand.is_running = True
            try:
                ending = await self._runner.run(hand.claim, call.job, call.message)
            except asyncio.CancelledError:
                if hand.stop is None:
                    raise
            else:
                if hand.stop is None or ending.state is State.SUCCEEDED:
                    return ending
            finally:
                hand.is_running = False
                if hand.stop is not None:
                    _forget_cancellation()
        # Whatever the job made of being stopped is not its own doing: no attempt is spent.
        if hand.stop is Stop.LEASE_LOST:
            return None
        state = State.CANCELLED if hand.stop is Stop.ABORTED else State.RELEASED
        return Ending(state=state, reason=hand.stop.value if hand.stop else None)

    async def _end(self, hand: InHand, message: JobMessage | None, ending: Ending) -> None:
        claim, ended_at = hand.claim, self._clock()
        record = attempt_record(
            claim,
            message,
            ending,
            started_at=hand.started_at,
            ended_at=ended_at,
            worker=self._worker_id,
        )
        job = self._runner.job_of(message)
        try:
            finish = finish_of(claim, message, job, ending, record)
        except Exception as error:  # noqa: BLE001 - for the sake of what follows
            # Whatever it is about this ending, the run must not come round again because of it.
            self._log.exception("Run ended in a way that cannot be recorded")
            ending = Ending(state=State.DEAD, reason=Reason.UNRECORDABLE, failure=failure_of(error))
            record = replace(
                record,
                state=State.DEAD,
                reason=Reason.UNRECORDABLE,
                error_type=type(error).__name__,
            )
            finish = finish_of(claim, None, job, ending, record)
        if await self._write(claim, finish):
            self.ended[ending.state] += 1
            report(self._metrics, self._log, record)
        else:
            self._metrics.lease_lost.labels(claim.queue.name).inc()
            self._log.error("Run ended after its lease was lost: another worker may run it again")

    async def _write(self, claim: Claim, finish: Finish) -> bool:
        """Tell Redis until it has heard: it says itself when the lease is no longer ours."""
        wait = 0.05
        while True:
            try:
                return await self._store.finish(claim, finish)
            except ResponseError as error:
                # It answers, and refuses: asking again and again would hold the slot for ever.
                self._log.error("Redis refuses a run's end", error=str(error))
                return False
            except (RedisError, OSError) as error:
                self._log.warning("Redis did not take a run's end", error_type=type(error).__name__)
                await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - spreads retries
                wait = min(wait * 2, _LONGEST_BACKOFF)


def _forget_cancellation() -> None:
    """We cancelled this task to stop the job, and go on: to asyncio it must not look cancelled."""
    task = asyncio.current_task()
    while task is not None and task.uncancel():
        pass


def _ms(delta: timedelta) -> int:
    return int(delta / timedelta(milliseconds=1))
