"""How code that nobody can cancel, in a thread, finds out that its attempt is to stop."""

from contextvars import ContextVar
from typing import Protocol


class Stoppable(Protocol):
    @property
    def stop(self) -> object | None: ...


# Threads begun with `asyncio.to_thread` get it with the other context variables.
attempt: ContextVar[Stoppable | None] = ContextVar("attempt", default=None)


def is_stopping() -> bool:
    """Was the attempt that this code belongs to cancelled, or is it out of time?

    For loops in `asyncio.to_thread(…)`. False outside of attempts. What runs in `ctx.offload`
    needs not ask: its process is killed.
    """
    current = attempt.get()
    return current is not None and current.stop is not None
