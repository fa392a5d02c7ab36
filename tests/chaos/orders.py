"""Which runs are asked for, and how each of them may end."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jobs.kit import Job
from tests.chaos import plays

# A payload, by chance and the length of a lease in seconds.
Shape = Callable[[random.Random, float], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A job, its share of all runs, its payload, and the endings that are right for it."""

    job: Job[Any, Any]
    share: float
    endings: frozenset[str]
    shape: Shape = lambda _, __: {}

    @property
    def attempts(self) -> int:
        """How many attempts the policy allows."""
        return self.job.retry.attempts if self.job.retry else 5


@dataclass(frozen=True, slots=True)
class Order:
    """One run that is asked for."""

    run_id: str
    kind: Kind
    payload: dict[str, Any]


_DONE, _DEAD = frozenset({"succeeded"}), frozenset({"dead"})

KINDS = (
    Kind(plays.succeed, 30, _DONE),
    Kind(plays.nap, 27, _DONE, lambda dice, _: {"seconds": dice.uniform(0.005, 0.05)}),
    # Long enough that a worker which is killed has some in hand.
    Kind(plays.nap, 4, _DONE, lambda dice, _: {"seconds": dice.uniform(0.5, 3)}),
    # Longer than a lease: it has to be renewed.
    Kind(plays.nap, 0.5, _DONE, lambda dice, lease: {"seconds": lease * dice.uniform(1.2, 1.6)}),
    Kind(plays.fail_first, 12, _DONE, lambda dice, _: {"times": dice.randint(1, 3)}),
    Kind(plays.fail_always, 5, _DEAD),
    Kind(plays.snooze, 8, _DONE, lambda dice, _: {"times": dice.randint(1, 2)}),
    Kind(plays.time_out, 4, _DONE),
    Kind(plays.cancel, 5, frozenset({"cancelled"})),
    # While PostgreSQL or the relay is away it may use its attempts up, or not know what it sent.
    Kind(plays.send_mail, 5, _DONE | _DEAD),
)
HOLD = Kind(plays.hold, 0, _DONE)


def orders(count: int, *, seed: int, lease: float) -> Iterator[Order]:
    """`count` orders, the same for the same seed; a lease is that many seconds long."""
    dice = random.Random(seed)  # noqa: S311 - to be repeated, not secret
    shares = [kind.share for kind in KINDS]
    for number in range(count):
        (kind,) = dice.choices(KINDS, shares)
        name = kind.job.name.removeprefix("chaos.").replace("_", "-")
        yield Order(f"{name}-{number:06}", kind, kind.shape(dice, lease))
