"""What a run that is over left in Redis, while it is kept there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from arq.constants import result_key_prefix
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from jobs.kit import QUEUES
from worker.ending import State
from worker.engine.claims import instant
from worker.records import UNKNOWN

_SHOWN = 65_536  # bytes
_READ = 1_048_576  # bytes: what workers of ours keep at most, and what stands around it
_PREFIX = result_key_prefix.encode()
_NAMES = {queue.key: name for name, queue in QUEUES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`value` is what the job returned, as JSON; or the type and message of its error.

    None, and `is_shown` says so, for what is larger than 64 KB.
    """

    is_success: bool
    value: Any
    is_shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """ARQ's result record."""

    state: State
    job: str
    queue: str
    attempt: int
    enqueued_at: datetime
    started_at: datetime
    finished_at: datetime
    result: Result


async def ended_of(pool: Redis, run_id: str) -> Ended | None:
    """None also for what cannot be read, as a stock worker's pickle. Raises RedisError."""
    key = _PREFIX + run_id.encode("utf-8", "surrogateescape")
    try:
        raw = await pool.getrange(key, 0, _READ + _SHOWN)
        return _ended(orjson.loads(raw)) if raw else None
    except (ResponseError, ValueError, KeyError, TypeError, OverflowError):
        return None


def _ended(data: dict[str, Any]) -> Ended:
    value, is_success = data["r"], data["s"] is True
    is_shown = len(orjson.dumps(value)) <= _SHOWN
    is_cancelled = isinstance(value, dict) and value.get("$error") == "CancelledError"
    failed = State.CANCELLED if is_cancelled else State.DEAD
    queue = str(data["q"])
    return Ended(
        state=State.SUCCEEDED if is_success else failed,
        job=str(data["f"] or UNKNOWN),
        queue=_NAMES.get(queue, queue),
        attempt=int(data["t"]),
        enqueued_at=instant(float(data["et"])),
        started_at=instant(float(data["st"])),
        finished_at=instant(float(data["ft"])),
        result=Result(is_success=is_success, value=value if is_shown else None, is_shown=is_shown),
    )
