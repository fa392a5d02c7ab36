"""What PostgreSQL and Redis hold in the end. Goes around the proxy."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

FINAL = ("succeeded", "cancelled", "dead", "expired")


@dataclass(frozen=True, slots=True)
class Attempt:
    attempt: int
    outcome: str
    worker: str
    started_at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A run's own record."""

    state: str
    attempt: int
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Everything PostgreSQL remembers, by run id; deliveries by key."""

    runs: Mapping[str, Ended] = field(default_factory=dict)
    attempts: Mapping[str, list[Attempt]] = field(default_factory=dict)
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    deliveries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """A Redis key: `ttl_ms` is -1 when it never expires; `size` is that of a stream, or 0."""

    name: str
    ttl_ms: int
    size: int = 0


async def read_records(database_url: str) -> Records:
    connection = await asyncpg.connect(database_url)
    try:
        runs = await connection.fetch("select run_id, state, attempt, reason from job_runs")
        attempts = await connection.fetch(
            "select run_id, attempt, outcome, worker, started_at, error_message"
            " from job_attempts order by started_at, event_id"
        )
        letters = await connection.fetch(
            "select run_id, count(*) from dead_letters where status = 'dead' group by run_id"
        )
        deliveries = await connection.fetch("select key, status from deliveries")
    finally:
        await connection.close()
    by_run: dict[str, list[Attempt]] = {}
    for run_id, *fields in attempts:
        by_run.setdefault(run_id, []).append(Attempt(*fields))
    return Records(
        runs={run_id: Ended(*fields) for run_id, *fields in runs},
        attempts=by_run,
        dead_letters={row["run_id"]: row["count"] for row in letters},
        deliveries={row["key"]: row["status"] for row in deliveries},
    )


async def count_final(database_url: str, run_ids: Collection[str]) -> int:
    """How many of these runs have a terminal record."""
    connection = await asyncpg.connect(database_url)
    try:
        count: int = await connection.fetchval(
            "select count(*) from job_runs where state = any($1) and run_id = any($2)",
            list(FINAL),
            list(run_ids),
        )
    finally:
        await connection.close()
    return count


async def count_waiting(redis_url: str, streams: Collection[str]) -> int:
    """How many records nobody has written down yet. A killed worker's are taken over in time."""
    redis = Redis.from_url(redis_url)
    try:
        return sum([await redis.xlen(stream) for stream in streams])
    finally:
        await redis.aclose()


async def read_keys(redis_url: str, pattern: str = "*") -> list[Key]:
    """All keys that match, with what is left of their life."""
    redis = Redis.from_url(redis_url)
    try:
        names = [name async for name in redis.scan_iter(match=pattern, count=1000)]
        async with redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.pttl(name)
                pipe.type(name)
            replies = await pipe.execute()
        keys = zip(names, replies[::2], replies[1::2], strict=True)
        return [
            Key(name.decode(), ttl, await redis.xlen(name) if kind == b"stream" else 0)
            for name, ttl, kind in keys
            if ttl != -2  # it went meanwhile
        ]
    finally:
        await redis.aclose()


async def watch_leases(redis_url: str, lease: float, found: list[str]) -> None:
    """Look at the leases again and again: one without an end would never be taken over."""
    while True:
        await asyncio.sleep(1)
        try:
            async with asyncio.timeout(5):
                keys = await read_keys(redis_url, "arq:in-progress:*")
        except (OSError, TimeoutError, RedisError):
            continue
        found += [
            f"{key.name} lives for {key.ttl_ms} ms"
            for key in keys
            if not 0 <= key.ttl_ms <= lease * 1000
        ]
