"""What ran, and when: a file that each worker process writes and the harness reads meanwhile.

Only the standard library: the peers' own environments import it. The file is a row of doubles,
    is_ready, count, then (number, begun, ended) for each run,
mapped into memory, so that noting a run costs a worker well under a microsecond, reading costs it
nothing, and what a killed worker had noted stays. Times are seconds of the system's monotonic
clock, which all processes of a machine share.
"""

import mmap
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_DOUBLE = 8  # bytes
_HEAD = 2
_ROW = 3
_SUFFIX = ".tally"


@dataclass(frozen=True, slots=True)
class Noted:
    """One run of the job with this number."""

    number: int
    begun: float
    ended: float


class Tally:
    """The file of one worker process, in its hands or in the reader's."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._doubles = memoryview(mmap.mmap(opened.fileno(), 0)).cast("d")

    @classmethod
    def create(cls, directory: Path, *, capacity: int) -> "Tally":
        """The tally of this process; `capacity` is in runs. Unwritten parts take no disk."""
        file = directory / f"{os.getpid()}{_SUFFIX}"
        with file.open("wb") as opened:
            opened.truncate((_HEAD + capacity * _ROW) * _DOUBLE)
        return cls(file)

    def set_ready(self) -> None:
        """Say that this worker waits for jobs."""
        self._doubles[0] = 1.0

    def note(self, number: int, begun: float, ended: float) -> None:
        doubles = self._doubles
        count = doubles[1]
        at = _HEAD + int(count) * _ROW
        doubles[at] = number
        doubles[at + 1] = begun
        doubles[at + 2] = ended
        doubles[1] = count + 1.0  # last, so that a reader never sees half a row

    @property
    def is_ready(self) -> bool:
        return bool(self._doubles[0])

    @property
    def count(self) -> int:
        return int(self._doubles[1])

    def since(self, start: int) -> list[Noted]:
        values = self._doubles[_HEAD + start * _ROW : _HEAD + self.count * _ROW].tolist()
        triples = zip(values[::_ROW], values[1::_ROW], values[2::_ROW], strict=True)
        return [Noted(int(number), begun, ended) for number, begun, ended in triples]


class Tallies:
    """All workers' tallies in a directory. `mark()` forgets what has run so far: the warm-up."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[Path, Tally] = {}
        self._marks: Counter[Path] = Counter()

    def ready(self) -> int:
        """How many workers wait for jobs."""
        for file in self._directory.glob(f"*{_SUFFIX}"):
            if file not in self._open and file.stat().st_size:
                self._open[file] = Tally(file)
        return sum(tally.is_ready for tally in self._open.values())

    def mark(self) -> None:
        self._marks = Counter({file: tally.count for file, tally in self._open.items()})

    def marked(self) -> int:
        """Runs before the mark."""
        return self._marks.total()

    def count(self) -> int:
        """Runs since the mark."""
        return sum(tally.count for tally in self._open.values()) - self.marked()

    def noted(self) -> list[Noted]:
        """Runs since the mark, of all workers."""
        return [one for file, tally in self._open.items() for one in tally.since(self._marks[file])]


@dataclass(frozen=True, slots=True)
class Proof:
    """How often the numbers that were enqueued have run."""

    lost: int
    doubled: int
    foreign: int


def prove(enqueued: Sequence[int] | range, noted: Iterable[Noted]) -> Proof:
    """Compare what was enqueued with what ran."""
    ran = Counter(one.number for one in noted)
    wanted = set(enqueued)
    return Proof(
        lost=len(wanted - ran.keys()),
        doubled=sum(times - 1 for times in ran.values()),
        foreign=len(ran.keys() - wanted),
    )
