"""What a provider's 429 does to others: they wait as well, as far as they leave by its channel."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.kit import Run
from worker.enqueuer import known_job
from worker.pausing import pause_rate

Pause: TypeAlias = Callable[[timedelta], Awaitable[None]]


async def no_pause(wait: timedelta) -> None:
    """For whoever has no others."""


def pause_of(redis: Redis, run: Run, channel: str) -> Pause:
    """Lets those rate limits of the run's job rest that are the channel's: a job may have both."""

    async def pause(wait: timedelta) -> None:
        fields: dict[str, Any] = {"tenant_id": run.tenant_id, "channel": channel}
        for limit in known_job(run.job).controls.rate_limits:
            if {channel, "{channel}"} & set(limit.key.split(":")):
                # This message waits all the same.
                with suppress(KeyError, RedisError):
                    await pause_rate(redis, limit, wait, **fields)

    return pause
