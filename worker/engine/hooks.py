"""ARQ's hooks around an attempt. None of them can fail a run, or the worker."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from worker.telemetry.logs import get_logger

_log = get_logger(__name__)

_WITHIN = 60.0  # seconds

Hook: TypeAlias = Callable[[dict[str, Any]], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Beside ARQ's own keys `ctx` has `job_name`; at the end also `outcome` (the State's value) and
    `error_type`. `after` is called when Redis has taken the end.
    """

    start: Hook | None = None
    end: Hook | None = None
    after: Hook | None = None


async def call_hook(hook: Hook, context: dict[str, Any]) -> None:
    """A hook that raises, exits or hangs is logged, and nobody else's trouble."""
    try:
        # Most hooks wait for nothing: only one that does is worth a deadline.
        coroutine = cast("Coroutine[Any, Any, object]", hook(context))
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            return
        async with asyncio.timeout(_WITHIN):
            await _rest(coroutine, waits_for)
    except TimeoutError:
        _log.exception("A hook failed, or took too long")
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        _log.error("A hook cancelled itself")
    except BaseException:  # noqa: BLE001 - SystemExit too
        _log.exception("A hook failed")


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, object], waits_for: Any) -> Generator[Any, Any, None]:
    """Await what has begun already, and waits for this."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001 - a cancellation too is the coroutine's
            try:
                waits_for = coroutine.throw(error)
            except StopIteration:
                return
        else:
            try:
                waits_for = coroutine.send(sent)
            except StopIteration:
                return
