"""What ARQ's command asks of the class that it builds."""

import asyncio
import inspect
from contextlib import suppress

import uvloop
from arq.worker import Worker


def set_event_loop() -> None:
    """ARQ takes the thread's loop: give it a fast one, unless one runs already."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        return
    asyncio.set_event_loop(uvloop.new_event_loop())


def signature_with(setting: str) -> inspect.Signature:
    """ARQ hands over only those attributes of WorkerSettings that the signature names."""
    theirs = inspect.signature(Worker)
    ours = inspect.Parameter(setting, inspect.Parameter.KEYWORD_ONLY)
    return theirs.replace(parameters=[*theirs.parameters.values(), ours])
