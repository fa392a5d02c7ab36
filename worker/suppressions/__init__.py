"""Who must not be written to any more: how they say so, and what operators may do about it."""

from worker.suppressions.changing import (
    ConsentNeededError,
    Lifted,
    lift,
    reason_for,
    spellings_of,
)
from worker.suppressions.queries import (
    Suppressed,
    add,
    find_subscriber,
    id_for,
    page,
    unsubscribe,
)

__all__ = [
    "ConsentNeededError",
    "Lifted",
    "Suppressed",
    "add",
    "find_subscriber",
    "id_for",
    "lift",
    "page",
    "reason_for",
    "spellings_of",
    "unsubscribe",
]
