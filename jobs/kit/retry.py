"""How often a run is tried, and how long it waits in between."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol


class Backoff(Protocol):
    """The wait after the `attempt`-th attempt failed (counted from 1).

    `chance` is a random number in [0, 1) that spreads runs which failed together.
    """

    def delay(self, attempt: int, *, chance: float) -> timedelta: ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same wait each time. Seconds; up to `jitter` of it is added."""

    wait: float
    jitter: float = 0.1

    def __post_init__(self) -> None:
        _require(self.wait >= 0 and self.jitter >= 0, "Fixed: wait and jitter are not negative")

    def delay(self, attempt: int, *, chance: float) -> timedelta:
        del attempt
        return timedelta(seconds=self.wait * (1 + self.jitter * chance))


@dataclass(frozen=True, slots=True)
class Exponential:
    """`first`, `first * factor`, `first * factor²`, … seconds, at most `cap`; jitter only adds."""

    first: float = 5
    factor: float = 5
    cap: float = 3600
    jitter: float = 0.1

    def __post_init__(self) -> None:
        _require(
            self.first >= 0 and self.factor >= 1 and self.cap >= self.first and self.jitter >= 0,
            "Exponential: needs first >= 0, factor >= 1, cap >= first and jitter >= 0",
        )

    def delay(self, attempt: int, *, chance: float) -> timedelta:
        wait = self.first
        for _ in range(attempt - 1):  # not `factor ** n`: that overflows long before the cap
            wait = min(wait * self.factor, self.cap)
            if wait == self.cap:
                break
        return timedelta(seconds=min(wait * (1 + self.jitter * chance), self.cap))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A run gets `attempts` attempts in all; interruptions and snoozes are none."""

    attempts: int = 5
    backoff: Backoff = field(default_factory=Exponential)

    def __post_init__(self) -> None:
        _require(self.attempts >= 1, "Retry: attempts is 1 or more")


def _require(condition: bool, sentence: str) -> None:  # noqa: FBT001 - reads like assert
    if not condition:
        raise ValueError(sentence)
