"""Operations get a time, and callers an answer when it is over, whatever became of them by then."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from worker.background import cancel

TIMEOUT: Final = 45.0  # seconds that an operation may take
MOST_LEFT: Final = 100  # operations that are cancelled, and do not end
R = TypeVar("R")


class InTime:
    """Cancels what is late, and does not wait for its end.

    A statement that PostgreSQL does not answer takes a minute to be given up, cancelled or not: its
    connection waits to learn what became of it.
    """

    def __init__(self) -> None:
        self._left: set[asyncio.Task[Any]] = set()

    async def result(self, work: Coroutine[Any, Any, R]) -> R:
        """What it returns or raises; TimeoutError when it is late, or too many are."""
        if len(self._left) >= MOST_LEFT:
            work.close()
            raise TimeoutError
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task}, timeout=TIMEOUT)
        finally:
            if not task.done():
                self._left.add(task)
                task.add_done_callback(self._ended)
                task.cancel()
        if not task.done():
            raise TimeoutError
        return task.result()

    async def close(self) -> None:
        await cancel(self._left)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: its caller was answered long ago
