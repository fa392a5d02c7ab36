"""Pause a queue, or a key of a rate limit: what waits goes on waiting and spends no attempt.

Every worker sees it with its next call, at once. Runs in hand go on.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from jobs.kit import QUEUES, RateLimit

_PAUSED = "deskhand:paused"
_HOLD = "deskhand:hold:"
_FOR_EVER = "-"


class UnknownQueueError(Exception):
    """There is no queue of this name."""


async def pause_queue(redis: Redis, queue: str, *, until: datetime | None = None) -> None:
    """No worker claims from it, until it is resumed or that instant comes.

    Raises UnknownQueueError, RedisError.
    """
    ends = _FOR_EVER if until is None else str(int(until.timestamp() * 1000))
    await _awaited(redis.hset(_PAUSED, _known(queue), ends))


async def resume_queue(redis: Redis, queue: str) -> bool:
    """False when it was not paused. Raises UnknownQueueError, RedisError."""
    return bool(await _awaited(redis.hdel(_PAUSED, _known(queue))))


async def paused_queues(redis: Redis) -> dict[str, datetime | None]:
    """The paused queues, by name, and until when each is; None is until it is resumed."""
    seconds, micros = await redis.time()
    now = datetime.fromtimestamp(seconds + micros / 1e6, UTC)
    found = await _awaited(redis.hgetall(_PAUSED))
    names = {_key(name): name for name in QUEUES}
    paused = {}
    for key, ends in found.items():
        until = datetime.fromtimestamp(int(ends) / 1000, UTC) if ends.isdigit() else None
        name = names.get(key.decode(errors="replace"))
        if name is not None and (until is None or until > now):
            paused[name] = until
    return paused


async def pause_rate(redis: Redis, limit: RateLimit, wait: timedelta, **fields: Any) -> None:
    """No run starts that has this limit's key: `pause_rate(redis, limit, minute, source_id=3)`.

    A wait that is longer already stays. Raises KeyError for a field that is missing, RedisError.
    """
    key = _HOLD + limit.key_of(fields)
    wait_ms = int(wait / timedelta(milliseconds=1))
    if await redis.pttl(key) < wait_ms:
        await redis.set(key, "1", px=wait_ms)


def _known(queue: str) -> str:
    if queue not in QUEUES:
        raise UnknownQueueError(f"there is no queue {queue!r}; there are {', '.join(QUEUES)}")
    return _key(queue)


def _key(queue: str) -> str:
    return QUEUES[queue].key


async def _awaited(reply: Any) -> Any:
    return await reply  # redis-py types these for its synchronous client, too
