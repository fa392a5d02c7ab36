"""The moment in which a message leaves the house."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

# Awaited by a provider right before the step that cannot be undone: when it raises, nothing left.
Before: TypeAlias = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """For whoever has nothing to do before."""
