"""Background tasks that really end when they are told to."""

import asyncio
from collections.abc import Iterable
from typing import Any

_PATIENCE = 1.0  # seconds until a task that went on is told again


async def cancel(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks and wait until they are done; their results and errors are dropped.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, which libraries build on, swallows a
    cancellation that comes in the same turn as its result.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_PATIENCE)
        for task in done:
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio does not complain
