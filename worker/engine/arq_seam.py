"""What ARQ's command asks of the class that it builds, and prints of its health."""

import asyncio
import inspect
from collections.abc import Mapping
from contextlib import suppress

import uvloop
from arq.worker import Worker

from worker.clock import utc_now
from worker.ending import State


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


def health_line(ended: Mapping[State, int], *, ongoing: int) -> str:
    """What `arq --check` shows, as ARQ's own workers write it."""
    failed = ended[State.DEAD] + ended[State.CANCELLED]
    return (
        f"{utc_now():%b-%d %H:%M:%S} j_complete={ended[State.SUCCEEDED]} j_failed={failed} "
        f"j_retried={ended[State.RETRYING]} j_ongoing={ongoing}"
    )
