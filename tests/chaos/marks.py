"""What jobs leave behind while they run: a line when they begin, a line when they end.

Each worker process appends to a file of its own, one `write` a line, so that a killed one loses
nothing that it had done: `B <run id> <attempt> <monotonic ns>`, and the same with `E`.
"""

import functools
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from jobs.kit import Run

DIRECTORY, WORKER = "CHAOS_DIR", "CHAOS_WORKER"  # in the environment of each worker


@dataclass(frozen=True, slots=True)
class Interval:
    """A run in the hands of a worker process; instants are `time.monotonic_ns`."""

    run_id: str
    worker: str
    attempt: int
    begin: int
    end: int
    is_closed: bool  # the job itself said that it ended

    @override
    def __str__(self) -> str:
        times = f"from {self.begin / 1e9:.3f} to {self.end / 1e9:.3f}"
        how = "" if self.is_closed else ", cut short"
        return f"attempt {self.attempt} on {self.worker} {times}{how}"


@contextmanager
def marked(run: Run) -> Iterator[None]:
    """Mark what a job does, however it ends."""
    _write("B", run)
    try:
        yield
    finally:
        _write("E", run)


def directory() -> Path:
    """Where this world keeps its files."""
    return Path(os.environ[DIRECTORY])


def read_intervals(folder: Path, ends: Mapping[str, int]) -> dict[str, list[Interval]]:
    """All intervals by run, in the order of their begin.

    `ends` says when each worker process ended: an interval that the job did not close ends there.
    """
    found: dict[str, list[Interval]] = {}
    for file in folder.iterdir():
        for interval in _intervals_of(file.name, file.read_text(), ends[file.name]):
            found.setdefault(interval.run_id, []).append(interval)
    for intervals in found.values():
        intervals.sort(key=lambda interval: interval.begin)
    return found


def begun(file: Path) -> dict[str, int]:
    """When each run began last in one process."""
    if not file.exists():
        return {}
    lines = [line.split() for line in file.read_text().splitlines()]
    return {run_id: int(at) for mark, run_id, _, at in lines if mark == "B"}


def _intervals_of(worker: str, text: str, ended: int) -> Iterator[Interval]:
    opened: dict[tuple[str, str], list[int]] = {}
    for line in text.splitlines():
        mark, run_id, attempt, at = line.split()
        if mark == "B":
            opened.setdefault((run_id, attempt), []).append(int(at))
        else:
            begin = opened[run_id, attempt].pop(0)
            yield Interval(run_id, worker, int(attempt), begin, int(at), is_closed=True)
    for (run_id, attempt), begins in opened.items():
        for begin in begins:
            yield Interval(run_id, worker, int(attempt), begin, ended, is_closed=False)


def _write(mark: str, run: Run) -> None:
    os.write(_file(), f"{mark} {run.run_id} {run.attempt} {time.monotonic_ns()}\n".encode())


@functools.cache
def _file() -> int:
    path = directory() / "marks" / os.environ[WORKER]
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
