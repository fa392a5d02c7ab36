"""What a provider's 429, or a refused account, does to others: they wait as well, as far as they
leave by its channel.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import RedisError

from clients.errors import AccountRefusedError
from jobs.kit import Run
from worker.enqueuer import known_job
from worker.pausing import pause_rate
from worker.telemetry.logs import get_logger

Pause: TypeAlias = Callable[[timedelta], Awaitable[None]]


# Where the provider refuses our account. Then one of each limit's runs asks again.
ACCOUNT_REST: Final = timedelta(minutes=5)
# So long a message waits for somebody to correct the settings. Then its attempts are spent.
KEPT_FOR: Final = timedelta(days=1)
_log = get_logger(__name__)
_told_at: dict[str, datetime] = {}  # by provider


async def no_pause(wait: timedelta) -> None:
    """For whoever has no others."""


def tell_refused(provider: str, error: AccountRefusedError, now: datetime) -> None:
    """One ERROR of this process while all wait, however many were on their way."""
    told_at = _told_at.get(provider)
    if told_at is None or not timedelta(0) <= now - told_at < ACCOUNT_REST:
        _told_at[provider] = now
        _log.error(
            "The provider refuses our account: correct its settings, then restart",
            provider=provider,
            error=str(error),
        )


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
