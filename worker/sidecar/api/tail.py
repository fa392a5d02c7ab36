"""One reader of the events for all who follow them here, and a bounded queue for each of those."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from redis.asyncio import Redis

from worker.background import cancel
from worker.events import Event, follow
from worker.sidecar.api.errors import RETRY_SOON, ApiError
from worker.telemetry.logs import get_logger

MOST_FOLLOWERS: Final = 50
MOST_OF_ONE: Final = 20  # so that nobody takes all places
_BEHIND: Final = 1000  # events that a slow follower may be behind
_BEFORE_ALL = 2**64 - 1
_log = get_logger(__name__)

Match = Callable[[Event], bool]


class Follower:
    """Whoever follows: events, or None at the end. `is_behind`: it missed some."""

    def __init__(self, matches: Match, whose: Hashable = None) -> None:
        self._matches = matches
        self.whose = whose
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(_BEHIND)
        self.is_behind = False

    def put(self, event: Event | None) -> None:
        """Without ever waiting for it."""
        if self.is_behind or (event is not None and not self._matches(event)):
            return
        if self._events.full():
            self.is_behind = event is not None
            while not self._events.empty():
                self._events.get_nowait()
            event = None
        self._events.put_nowait(event)

    async def get(self) -> Event | None:
        return await self._events.get()


class Tail:
    """Reads while anybody follows."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._followers: set[Follower] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def following(self, matches: Match, whose: Hashable = None) -> AsyncIterator[Follower]:
        """Events from now on. Raises ApiError when all, or `whose`, are too many; RedisError."""
        if len(self._followers) >= MOST_FOLLOWERS:
            raise ApiError(503, "too_many", "so many follow the events already", headers=RETRY_SOON)
        if sum(one.whose == whose for one in self._followers) >= MOST_OF_ONE:
            sentence = f"one caller follows the events {MOST_OF_ONE} times at most"
            raise ApiError(429, "too_many", sentence, headers=RETRY_SOON)
        follower = Follower(matches, whose)
        self._followers.add(follower)
        try:
            if self._task is None or self._task.done():
                seconds, micros = await self._redis.time()
                # Who came meanwhile may have started it.
                if self._task is None or self._task.done():
                    since = f"{seconds * 1000 + micros // 1000}-0"
                    self._task = asyncio.create_task(self._read(since), name="events")
            yield follower
        finally:
            self._followers.discard(follower)
            if not self._followers:
                await self._stop()

    async def earlier(self, since: timedelta | str) -> AsyncGenerator[Event, None]:
        """Those so long ago or later, or behind an event's id, up to now. Raises RedisError."""
        if isinstance(since, timedelta):
            async for event in follow(self._redis, since=since, is_endless=False):
                yield event
            return
        last = place_of(since)
        async for event in follow(self._redis, since=_entry_before(last), is_endless=False):
            if place_of(event.event_id) > last:
                yield event

    async def close(self) -> None:
        """Send everybody away: the process ends."""
        for follower in self._followers:
            follower.put(None)
        await self._stop()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await cancel([task])

    async def _read(self, since: str) -> None:
        try:
            async for event in follow(self._redis, since=since):
                for follower in self._followers:
                    follower.put(event)
        except Exception as error:  # noqa: BLE001 - they come again, and it is tried again
            _log.warning("Events cannot be followed", error_type=type(error).__name__)
            for follower in self._followers:
                follower.put(None)


def place_of(event_id: str) -> tuple[int, int, int]:
    """An event's id `<ms>-<number>:<number>`, or its entry's. Raises ValueError."""
    entry, _, number = event_id.partition(":")
    ms, _, serial = entry.partition("-")
    parts = (ms, serial, number or "0")
    if not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):  # noqa: PLR2004 - digits of 64 bits
        raise ValueError("is no id of an event")
    return (int(ms), int(serial), int(number) if number else -1)


def _entry_before(place: tuple[int, int, int]) -> str:
    ms, serial, _ = place
    if serial:
        return f"{ms}-{serial - 1}"
    return f"{ms - 1}-{_BEFORE_ALL}" if ms else "0-0"
