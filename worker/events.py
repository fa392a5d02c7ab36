"""The events of runs, as they happen: for `deskhand events`, and whoever else follows.

The engine appends them to a Redis stream, many to an entry. A field is named by the kind of its
event (one byte) and the run's id. The ledger trims what it has written, but for the last seconds.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from arq.constants import default_queue_name, job_key_prefix
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.codec import UndecodableError, decode_job
from worker.ending import State
from worker.engine.store import EVENTS
from worker.records import instant_of
from worker.telemetry.logs import get_logger

_BLOCK_MS = 5000
_ENTRIES = 100  # a read, at most
_NAMES = 10_000  # runs whose job is remembered
_PAUSE_LIMIT = 5.0  # seconds between tries while Redis is away
_AWAY = (RedisConnectionError, RedisTimeoutError, OSError)
_log = get_logger(__name__)


class Kind(StrEnum):
    """What happened to a run."""

    ADDED = "added"
    ACTIVE = "active"
    STALLED = "stalled"
    COMPLETED = "completed"
    RETRIED = "retried"
    SNOOZED = "snoozed"
    RELEASED = "released"
    CANCELLED = "cancelled"
    DEAD_LETTERED = "dead-lettered"
    EXPIRED = "expired"
    PROGRESS = "progress"


_ENDINGS: Mapping[str, Kind] = {
    State.SUCCEEDED: Kind.COMPLETED,
    State.RETRYING: Kind.RETRIED,
    State.SNOOZED: Kind.SNOOZED,
    State.RELEASED: Kind.RELEASED,
    State.CANCELLED: Kind.CANCELLED,
    State.DEAD: Kind.DEAD_LETTERED,
    State.EXPIRED: Kind.EXPIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`event_id` grows with time. What an event does not tell is None.

    A stalled run was taken over, because `crashes` workers never said how it ended with them.
    """

    event_id: str
    at: datetime
    kind: Kind
    queue: str
    run_id: str
    job: str | None = None
    attempt: int | None = None
    duration: timedelta | None = None
    error_type: str | None = None
    worker: str | None = None
    crashes: int | None = None
    fraction: float | None = None
    message: str | None = None


async def follow(
    redis: Redis,
    *,
    since: timedelta | str | None = None,
    is_endless: bool = True,
    queue: str | None = None,
    job: str | None = None,
) -> AsyncGenerator[Event, None]:
    """Events so long ago or later, after an entry's id, or (None) all that are still there.

    Ends with the newest one unless `is_endless`, which also outlasts a Redis that goes away. Raises
    what Redis raises when it does not answer at the start.
    """
    await redis.ping()
    after = await _ago(redis, since) if isinstance(since, timedelta) else since or "0-0"
    names = _Names(redis)
    pause = 0.1
    while True:
        try:
            entries = await _read(redis, after, is_endless=is_endless)
            events = await names.filled_in([one for entry in entries for one in _events(*entry)])
        except _AWAY as error:
            if not is_endless:
                raise
            _log.warning("Redis is away; events go on with it", error_type=type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _PAUSE_LIMIT)
            continue
        pause = 0.1
        for event in events:
            if queue in (None, event.queue) and job in (None, event.job):
                yield event
        if entries:
            after = entries[-1][0]
        elif not is_endless:
            return


async def _ago(redis: Redis, since: timedelta) -> str:
    """The id of an entry of so long ago, by Redis' clock."""
    seconds, micros = await redis.time()
    ago_ms = seconds * 1000 + micros // 1000 - since // timedelta(milliseconds=1)
    return f"{max(ago_ms, 0)}-0"


async def _read(
    redis: Redis, after: str, *, is_endless: bool
) -> list[tuple[str, Mapping[bytes, bytes]]]:
    streams: dict[Any, Any] = {EVENTS: after}
    reply = await redis.xread(streams, count=_ENTRIES, block=_BLOCK_MS if is_endless else None)
    return [(entry_id.decode(), fields) for _, entries in reply for entry_id, fields in entries]


def _events(entry_id: str, fields: Mapping[bytes, bytes]) -> list[Event]:
    """What an entry tells; kinds that are not known, and what is not ours, are skipped."""
    found: list[Event] = []
    for field, value in fields.items():
        try:
            at = datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC)
            events = _told(field, value, at)
        except (ValueError, KeyError, TypeError, OverflowError, OSError):
            continue
        for event in events:
            found.append(replace(event, event_id=f"{entry_id}:{len(found)}"))
    return found


def _told(field: bytes, value: bytes, at: datetime) -> list[Event]:
    """`+` and `>` name what the runs in their value have in common, the others their run."""
    known: dict[str, Any] = {"event_id": "", "at": at}
    match field[:1]:
        case b"+":
            queue, _, job = _text(field[1:]).partition("\n")
            shared = {**known, "kind": Kind.ADDED, "queue": _queue(queue), "job": job}
            told = [Event(run_id=_text(run_id), **shared) for run_id in value.split(b"\n")]
        case b">":
            queue, worker, *_ = _text(field[1:]).split("\n")
            shared = {**known, "kind": Kind.ACTIVE, "queue": _queue(queue), "worker": worker}
            told = [Event(run_id=_text(run_id), **shared) for run_id in value.split(b"\n")]
        case b"!":
            queue, _, crashes = _text(value).partition("\n")
            shared = {**known, "kind": Kind.STALLED, "queue": _queue(queue)}
            told = [Event(run_id=_text(field[1:]), crashes=int(crashes), **shared)]
        case b"~":
            told = [_step(orjson.loads(value), known, _text(field[1:]))]
        case b"=":
            told = [_ending(orjson.loads(value), known, _text(field[1:]))]
        case b"d":  # version 0.1 wrote one attempt an entry
            record = orjson.loads(value)
            told = [_ending(record, known, str(record["run_id"]))]
        case _:
            told = []
    return told


def _ending(record: dict[str, Any], known: dict[str, Any], run_id: str) -> Event:
    started, ended = (instant_of(record[key]) for key in ("started_at", "ended_at"))
    return Event(
        kind=_ENDINGS[record["state"]],
        queue=str(record["queue"]),
        run_id=run_id,
        job=str(record["job"]),
        attempt=int(record["attempt"]),
        duration=ended - started,
        error_type=record.get("error_type"),
        worker=record["worker"],
        **known,
    )


def _step(said: dict[str, Any], known: dict[str, Any], run_id: str) -> Event:
    return Event(
        kind=Kind.PROGRESS,
        queue=str(said["queue"]),
        run_id=run_id,
        job=str(said["job"]),
        attempt=int(said["attempt"]),
        fraction=float(said["fraction"]),
        message=str(said["message"]),
        **known,
    )


def _queue(key: str) -> str:
    return "default" if key == default_queue_name else key.removeprefix(f"{default_queue_name}:")


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


class _Names:
    """The jobs of runs: remembered from events that name them, or read with the run's payload."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._jobs: OrderedDict[str, str] = OrderedDict()

    async def filled_in(self, events: Sequence[Event]) -> list[Event]:
        for event in events:
            if event.job is not None:
                self._remember(event.run_id, event.job)
        unknown = list({e.run_id for e in events if e.job is None} - self._jobs.keys())
        for start in range(0, len(unknown), _ENTRIES):
            page = unknown[start : start + _ENTRIES]
            payloads = await self._redis.mget([f"{job_key_prefix}{run_id}" for run_id in page])
            for run_id, payload in zip(page, payloads, strict=True):
                job = _job_of(payload)
                if job is not None:
                    self._remember(run_id, job)
        return [
            event if event.job is not None else replace(event, job=self._jobs.get(event.run_id))
            for event in events
        ]

    def _remember(self, run_id: str, job: str) -> None:
        self._jobs[run_id] = job
        self._jobs.move_to_end(run_id)
        if len(self._jobs) > _NAMES:
            self._jobs.popitem(last=False)


def _job_of(payload: bytes | None) -> str | None:
    try:
        return None if payload is None else decode_job(payload).function
    except UndecodableError:
        return None
