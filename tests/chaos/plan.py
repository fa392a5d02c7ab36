"""When which fault happens: the same plan for the same seed.

Four lanes run side by side, and within each there is never more than one fault at a time. Whatever
keeps a worker from renewing its leases for a while is on one lane, with room for two renewals in
between: each of these faults is shorter than a lease, so none excuses a run that is run twice.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class What(StrEnum):
    REDIS_KILL = "Redis: SIGKILL"
    REDIS_FREEZE = "Redis: SIGSTOP"
    CUT = "proxy: replies cut in the middle"
    SLOW = "proxy: slow"
    SILENCE = "proxy: silence, then go on"
    SILENCE_THEN_RESET = "proxy: replies lost, then reset"
    WORKER_PAUSE = "worker: SIGSTOP, shorter than the lease"
    WORKER_KILL = "worker: SIGKILL"
    WORKER_TERM = "worker: SIGTERM"
    WORKER_STOP = "worker: SIGSTOP, longer than the lease"
    POSTGRES_KILL = "PostgreSQL: immediate stop"
    POSTGRES_RESTART = "PostgreSQL: restart"


@dataclass(frozen=True, slots=True)
class Fault:
    """`at` and `length` in seconds; `chance` in [0, 1) chooses whom it meets."""

    at: float
    what: What
    length: float
    chance: float


_AT_ONCE = (0.0, 0.0)


def longest_gap(lease: float) -> float:
    """Seconds that nobody may be able to renew: a lease is renewed every third of it."""
    return min(0.45 * lease, 3)


def plan(*, seed: int, seconds: float, lease: float) -> list[Fault]:
    """All faults of `seconds`, by time; each is over at its end."""
    longest = longest_gap(lease)
    silences = {
        What.REDIS_KILL: (0.1, min(1.0, longest)),
        What.REDIS_FREEZE: (1, longest),
        What.CUT: _AT_ONCE,
        What.SLOW: (1, 3),
        What.SILENCE: (1, longest),
        What.SILENCE_THEN_RESET: (1, longest),
        What.WORKER_PAUSE: (1, longest),
    }
    ends = {What.WORKER_KILL: _AT_ONCE, What.WORKER_TERM: _AT_ONCE}
    stops = {What.WORKER_STOP: (1.1 * lease, 1.6 * lease)}
    databases = {What.POSTGRES_KILL: (0.3, 3.0), What.POSTGRES_RESTART: (0.1, 1.0)}
    dice = random.Random(seed)  # noqa: S311 - to be repeated, not secret
    lanes = [
        _lane(dice, silences, first=2, gap=(0.7 * lease, 1.3 * lease), seconds=seconds),
        _lane(dice, ends, first=3, gap=(4, 10), seconds=seconds),
        _lane(dice, stops, first=min(10, seconds / 4), gap=(15, 30), seconds=seconds),
        _lane(dice, databases, first=min(8, seconds / 3), gap=(20, 40), seconds=seconds),
    ]
    return sorted((fault for lane in lanes for fault in lane), key=lambda fault: fault.at)


def _lane(
    dice: random.Random,
    lengths: Mapping[What, tuple[float, float]],
    *,
    first: float,
    gap: tuple[float, float],
    seconds: float,
) -> Iterator[Fault]:
    at = first
    for what in _in_turn(dice, list(lengths)):
        length = dice.uniform(*lengths[what])
        if at + length > seconds:
            return
        yield Fault(at, what, length, dice.random())
        at += length + dice.uniform(*gap)


def _in_turn(dice: random.Random, kinds: Sequence[What]) -> Iterator[What]:
    """Each kind once before any comes again, so that a short plan has most of them."""
    while True:
        yield from dice.sample(kinds, len(kinds))
