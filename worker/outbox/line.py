"""A relay's own connection to PostgreSQL, on which it is told of new rows.

A connection pooler in transaction mode takes a LISTEN and tells nothing, and so does a connection
that died unnoticed. So a relay sends itself a word now and then, by another way: while it does not
come, the outbox is looked at each second.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any
from uuid import uuid4

import asyncpg

from worker.outbox.queries import CHANNEL, Db, notify

Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]

_PROBE_EVERY = 30.0  # seconds
_HEARD_WITHIN = 3.0  # seconds
_FREE_WITHIN = 0.1  # seconds


class Line:
    """Open it with `opened`. `is_heard` says that notifications come."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", db: Db) -> None:
        self.connection = connection
        self.is_heard = False
        self._db = db
        self._changed = asyncio.Event()
        self._word: str | None = None
        self._sent_at = float("-inf")

    @classmethod
    async def opened(cls, connect: Connect, db: Db) -> "Line":
        """Raises what asyncpg raises, OSError, TimeoutError."""
        connection = await connect()
        line = cls(connection, db)
        try:
            connection.add_termination_listener(line._end)
            await connection.add_listener(CHANNEL, line._hear)
        except (asyncpg.FeatureNotSupportedError, asyncpg.PostgresSyntaxError):
            pass  # a pooler that knows no LISTEN
        except BaseException:
            await line.close()
            raise
        return line

    async def probe(self) -> None:
        """See whether notifications come. Raises ConnectionError when they came and stopped."""
        age = monotonic() - self._sent_at
        if self._word is not None and age > _HEARD_WITHIN and self.is_heard:
            raise ConnectionError("PostgreSQL's notifications have stopped")
        if age > _PROBE_EVERY:
            word, self._sent_at = uuid4().hex, monotonic()
            try:
                async with self._db.acquire(timeout=_FREE_WITHIN) as connection:
                    self._word = word  # from now on it may come
                    await notify(connection, word)
            except TimeoutError:  # jobs have all connections: the rows are not to wait for that
                self._word = None

    async def wait(self, seconds: float) -> bool:
        """Until there are new rows, or for so many seconds; says whether there are."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def close(self) -> None:
        """Safe at any time."""
        self.connection.remove_termination_listener(self._end)
        try:
            await self.connection.close(timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.connection.terminate()

    def _hear(self, *arguments: Any) -> None:
        word = arguments[-1]
        if word == "":
            self._changed.set()
        elif word == self._word:
            self.is_heard, self._word = True, None

    def _end(self, *_: Any) -> None:
        self._changed.set()  # the next statement says that the connection is gone
