"""Takes out of the stream of events what was written and is old enough for those who follow it."""

from redis.asyncio import Redis

_FOLLOWED_MS = 10_000  # how long an event stays for plain readers, at least

Id = tuple[int, int]  # milliseconds by Redis' clock, and a serial number


async def trim(redis: Redis, stream: str, group: str) -> bool:
    """Drop what every reader of the group acknowledged, unless it is some seconds old at most.

    Says whether nothing that was delivered is left. Raises what Redis raises.
    """
    async with redis.pipeline(transaction=False) as pipe:
        # In this order: what is delivered in between is pending, or comes after `delivered`.
        pipe.xinfo_groups(stream)
        pipe.xpending(stream, group)
        pipe.time()
        groups, pending, (seconds, micros) = await pipe.execute()
    delivered = next(
        _id(one["last-delivered-id"]) for one in groups if one["name"] == group.encode()
    )
    done = (delivered[0], delivered[1] + 1)
    oldest_pending = _id(pending["min"]) if pending["min"] else done
    now_ms = seconds * 1000 + micros // 1000
    first_kept = min(done, oldest_pending, (now_ms - _FOLLOWED_MS, 0))
    await redis.xtrim(stream, minid=f"{first_kept[0]}-{first_kept[1]}", approximate=False)
    return first_kept == done


def _id(raw: bytes) -> Id:
    milliseconds, _, serial = raw.decode().partition("-")
    return int(milliseconds), int(serial)
