"""From an ending to what Redis stores, what the log says and what the metrics count."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from jobs.kit import Job, Queue
from worker.codec import JobMessage, cancelled_result, dump_value
from worker.ending import Ending, State
from worker.engine.claims import Finish
from worker.rates.tally import Tally
from worker.records import UNKNOWN, AttemptRecord, DeadRecord, headers_of, plain, to_json
from worker.telemetry.logs import Format, get_logger
from worker.telemetry.metrics import Metrics, Status
from worker.telemetry.run_lines import RunLines

if TYPE_CHECKING:
    from worker.engine.hands import Hands, InHand

LogRuns: TypeAlias = Literal["all", "problems", "none"]

_log = get_logger(__name__)

_RESULT_LIMIT = 1_048_576  # bytes: what is larger belongs into storage
# Whoever aborts a run waits for its cancelled result, also where nobody keeps results (D43).
_ABORTED_TTL_MS = 10_000
_FAILURE_TTL_MS = 3_600_000  # ARQ's default, for runs whose job is not known
_SHOWN = 200  # characters of a foreign text in the log
_MILLISECOND = timedelta(milliseconds=1)

_STATUS: Mapping[State, Status] = {
    State.SUCCEEDED: "success",
    State.CANCELLED: "cancelled",
    State.DEAD: "failed",
    State.EXPIRED: "expired",
    State.RETRYING: "retried",
    State.SNOOZED: "snoozed",
    State.RELEASED: "interrupted",
}
_ENDED = {
    State.SUCCEEDED: "Run succeeded",
    State.DEAD: "Run dead-lettered",
    State.RETRYING: "Run failed and will be retried",
    State.CANCELLED: "Run cancelled",
    State.SNOOZED: "Run snoozed",
    State.RELEASED: "Run given back",
    State.EXPIRED: "Run expired before it started",
}


def finish_of(
    hand: "InHand",
    message: JobMessage | None,
    job: Job[Any, Any] | None,
    ending: Ending,
    record: AttemptRecord,
) -> Finish:
    """The transition that goes with an ending."""
    claim = hand.claim
    words = message.words if message else b""
    if ending.read_again is not None:
        claim.raw = ending.read_again
        due_ms = int(claim.due_ms)
        return Finish(claim, "read", b"", is_over=False, wait_ms=due_ms, words=claim.raw)
    if not ending.state.is_final:
        return Finish(
            claim,
            "unknown" if ending.is_unknown else ending.state.value,
            record.to_bytes(),
            is_over=False,
            wait_ms=int(ending.wait / _MILLISECOND),
            spends_attempt=ending.spends_attempt,
            words=words,
            rest_ms=int(ending.wait / _MILLISECOND) if ending.rests else 0,
        )
    dead = b""
    if ending.state is State.DEAD:
        dead = DeadRecord(
            last=record,
            payload=message.arguments if message else None,
            raw=None if message else claim.raw,
            headers=headers_of(message) if message else None,
        ).to_bytes()
    enqueued_ms = int(record.enqueued_at.timestamp() * 1000)
    return Finish(
        claim,
        ending.state.value,
        record.to_bytes(),
        dead,
        result=_result(hand, record.job, enqueued_ms, _value(ending), is_success=False),
        result_ttl_ms=_result_ttl_ms(job, ending),
        words=words,
    )


def success_of(
    hand: "InHand", message: JobMessage, job: Job[Any, Any], ending: Ending, record: bytes
) -> Finish:
    """The same for a success."""
    value = None if ending.result is None else _kept(ending.result)
    result = _result(hand, message.function, message.enqueued_ms, value, is_success=True)
    return Finish(
        hand.claim,
        "succeeded",
        record,
        result=result,
        result_ttl_ms=job.result_ttl_ms,
        words=message.words,
    )


def _kept(value: Any) -> orjson.Fragment | None:
    try:
        kept = dump_value(value)
    except TypeError as error:
        _log.warning("Result is not JSON and is not kept", reason=str(error))
        return None
    if len(kept) > _RESULT_LIMIT:
        _log.warning("Result is too large and is not kept", size=len(kept), limit=_RESULT_LIMIT)
        return None
    return orjson.Fragment(kept)


def _result_ttl_ms(job: Job[Any, Any] | None, ending: Ending) -> int:
    kept = job.result_ttl_ms if job else _FAILURE_TTL_MS
    return max(kept, _ABORTED_TTL_MS) if ending.state is State.CANCELLED else kept


def _result(hand: "InHand", job: str, enqueued_ms: int, value: Any, *, is_success: bool) -> bytes:
    """ARQ's result record. The arguments are not stored a second time."""
    claim = hand.claim
    return to_json(
        {
            "t": claim.attempts_spent + 1,
            "f": job,
            "a": [],
            "k": {},
            "et": enqueued_ms,
            "s": is_success,
            "r": value,
            "st": int(hand.started * 1000),
            "ft": int(hand.ended * 1000),
            "q": claim.queue.key,
            "id": claim.run_id,
        }
    )


def _value(ending: Ending) -> Any:
    if ending.state is State.CANCELLED:
        return cancelled_result(plain(ending.reason) or "cancelled")
    if ending.failure is not None:
        return {"$error": ending.failure.error_type, "message": plain(ending.failure.message)}
    return ending.result


class Reporter:
    """Says how attempts ended: counts each, and logs those that `log_runs` asks for."""

    def __init__(
        self, metrics: Metrics, *, tally: Tally, log_runs: LogRuns, log_format: Format
    ) -> None:
        self._metrics = metrics
        self._tally = tally
        self._lines = RunLines(log_format)
        self._logs_all = log_runs == "all"
        self._logs_problems = log_runs != "none"

    def watch(self, hands: "Hands", queues: Sequence[Queue]) -> None:
        """Show at each scrape how many attempts run."""
        for queue in queues:
            self._metrics.active_jobs.labels(queue.name).set_function(
                partial(hands.running, queue.name)
            )

    def ended(
        self, hands: "Sequence[InHand]", verdicts: Sequence[bool], ended: Counter[State]
    ) -> None:
        """Attempts are over: Redis has taken their ends, or says that a run is somebody else's.

        Adds to `ended`.
        """
        alike: defaultdict[tuple[str, str], list[InHand]] = defaultdict(list)  # the successes
        logs_successes = self._logs_all and self._lines.is_enabled
        for hand, is_taken in zip(hands, verdicts, strict=True):
            ending = hand.ending
            if ending is None or not is_taken:
                self.lost(hand)
            elif ending.read_again is not None:
                continue  # it was only read
            elif ending.state is State.SUCCEEDED and hand.message is not None:
                key = (hand.claim.queue.name, hand.message.function)
                alike[key].append(hand)
                if logs_successes:
                    self._log_success(hand)
            else:
                ended[ending.state] += 1
                self._problem(hand, ending)
        self._lines.flush()
        for (queue, function), several in alike.items():
            ended[State.SUCCEEDED] += len(several)
            self._count(queue, function, State.SUCCEEDED, several)
            seconds = [hand.ended - hand.started for hand in several]
            self._metrics.attempts_ended(
                queue=queue, function=function, status="success", seconds=seconds
            )

    def _problem(self, hand: "InHand", ending: Ending) -> None:
        queue = hand.claim.queue.name
        function = hand.message.function if hand.message else UNKNOWN
        self._count(queue, function, ending.state, [hand])
        self._metrics.attempts_ended(
            queue=queue,
            function=function,
            status=_STATUS[ending.state],
            seconds=[hand.ended - hand.started],
        )
        if ending.state is State.DEAD and ending.reason is not None:
            self._metrics.dead_lettered(queue=queue, function=function, reason=ending.reason)
        if self._logs_problems:
            self._log(hand, ending)

    def _count(self, queue: str, job: str, state: State, hands: "Sequence[InHand]") -> None:
        times = [(hand.claim.due_ms, hand.started, hand.ended) for hand in hands]
        self._tally.add(queue, job, state.value, times, ended=hands[-1].ended)

    def lost(self, hand: "InHand") -> None:
        self._metrics.lease_lost.labels(hand.claim.queue.name).inc()
        _log.error(
            "A run's lease was lost: another worker may run it again",
            run_id=hand.claim.run_id[:_SHOWN],
            job=hand.message.function[:_SHOWN] if hand.message else UNKNOWN,
            queue=hand.claim.queue.name,
        )

    def stalled(self, seconds: float) -> None:
        """The event loop did not turn for so long."""
        _log.warning("The event loop turns again", seconds=round(seconds, 1))

    def _log_success(self, hand: "InHand") -> None:
        claim, message = hand.claim, hand.message
        if message is not None:
            self._lines.add(
                _ENDED[State.SUCCEEDED],
                at=hand.ended,
                run_id=claim.run_id[:_SHOWN],
                job=message.function,
                queue=claim.queue.name,
                attempt=claim.attempt,
                wait_ms=_wait_ms(hand),
                duration_ms=int((hand.ended - hand.started) * 1000),
                correlation_id=message.headers.get("cid", claim.run_id)[:_SHOWN],
            )

    def _log(self, hand: "InHand", ending: Ending) -> None:
        claim, message, failure = hand.claim, hand.message, ending.failure
        cid = message.headers.get("cid", claim.run_id) if message else claim.run_id
        context: dict[str, Any] = {
            "run_id": claim.run_id[:_SHOWN],
            "job": message.function[:_SHOWN] if message else UNKNOWN,
            "queue": claim.queue.name,
            "attempt": claim.attempt,
            "correlation_id": cid[:_SHOWN],
            "wait_ms": _wait_ms(hand),
            "duration_ms": int((hand.ended - hand.started) * 1000),
        }
        if ending.reason:
            context["reason"] = ending.reason
        if failure is not None and ending.state in {State.DEAD, State.RETRYING}:
            context["error"] = {"type": failure.error_type, "message": failure.message}
            if ending.state is State.DEAD:
                context["error"]["stack"] = failure.traceback
        match ending.state:
            case State.DEAD:
                _log.error(_ENDED[ending.state], **context)
            case State.RETRYING | State.RELEASED | State.EXPIRED:
                _log.warning(_ENDED[ending.state], **context)
            case _:
                _log.info(_ENDED[ending.state], **context)


def _wait_ms(hand: "InHand") -> int:
    """From when it was due to its start; scores are foreign, and not all of them instants."""
    waited = hand.started * 1000 - hand.claim.due_ms
    return int(min(max(waited, 0), hand.started * 1000))
