"""Counts of attempts that ended, by the minute: how many, how long they waited and took.

Lengths of time are counted in steps of a factor of the square root of 2, from a millisecond to a
day and a half: a percentile read from them is off by less than such a step.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import NamedTuple

# Up to so many milliseconds; the last step has all that are longer.
BOUNDS = tuple(2 ** (step / 2) for step in range(55))
STEPS = len(BOUNDS) + 1
_MINUTE = 60  # seconds
# Of a PostgreSQL that is long away the oldest counts are dropped.
_MOST_ROWS = 5_000


class Key(NamedTuple):
    """`minute` in minutes since 1970; `outcome` is a State's value."""

    minute: int
    queue: str
    job: str
    outcome: str


@dataclass(slots=True)
class Lengths:
    """Some lengths of time, in milliseconds."""

    total: float = 0.0
    longest: float = 0.0
    steps: list[int] = field(default_factory=lambda: [0] * STEPS)

    def add(self, milliseconds: Sequence[float]) -> None:
        self.total += sum(milliseconds)
        self.longest = max(self.longest, *milliseconds)
        steps = self.steps
        for one in milliseconds:
            steps[bisect_left(BOUNDS, one)] += 1


@dataclass(slots=True)
class Count:
    attempts: int = 0
    waits: Lengths = field(default_factory=Lengths)
    durations: Lengths = field(default_factory=Lengths)


class Tally:
    """Add attempts as they end; `take` what there is, and give `back` what is for later."""

    def __init__(self) -> None:
        self._counts: dict[Key, Count] = {}

    def add(
        self,
        queue: str,
        job: str,
        outcome: str,
        times: Iterable[tuple[float, float, float]],
        *,
        ended: float,
    ) -> None:
        """Attempts of one kind: when each was due (in ms), started and ended (in seconds)."""
        key = Key(int(ended // _MINUTE), queue, job, outcome)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = Count()
            self._bound()
        waits, durations = [], []
        for due_ms, began, over in times:
            began_ms = began * 1000
            # Due times are foreign, and clocks differ.
            wait, duration = began_ms - due_ms, (over - began) * 1000
            waits.append(0.0 if wait < 0 else wait if wait < began_ms else began_ms)  # noqa: FURB136 - a call less for each run
            durations.append(0.0 if duration < 0 else duration)
        count.attempts += len(waits)
        count.waits.add(waits)
        count.durations.add(durations)

    def take(self) -> dict[Key, Count]:
        taken, self._counts = self._counts, {}
        return taken

    def back(self, counts: Mapping[Key, Count]) -> None:
        newer = self.take()
        self._counts.update(counts)
        for key, count in newer.items():
            known = self._counts.setdefault(key, Count())
            known.attempts += count.attempts
            for into, more in ((known.waits, count.waits), (known.durations, count.durations)):
                into.total += more.total
                into.longest = max(into.longest, more.longest)
                into.steps = list(map(add, into.steps, more.steps))
        self._bound()

    def _bound(self) -> None:
        while len(self._counts) > _MOST_ROWS:
            del self._counts[next(iter(self._counts))]


def percentile(steps: Sequence[int], share: float, longest: float) -> float:
    """The length that this share of all is not longer than, in ms; `steps` are not all 0."""
    wanted = share * sum(steps)
    seen = 0
    for step, number in enumerate(steps):
        if seen + number >= wanted and number:
            lower = BOUNDS[step - 1] if step else 0.0
            upper = BOUNDS[step] if step < len(BOUNDS) else max(longest, lower)
            return min(lower + (upper - lower) * (wanted - seen) / number, longest)
        seen += number
    return longest
