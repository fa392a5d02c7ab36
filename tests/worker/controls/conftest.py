"""Workers in processes of their own, and runs that leave marks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from jobs.kit import Job
from tests.worker.conftest import until
from tests.worker.trouble_jobs import Mark, marks_in
from tests.worker.trouble_servers import Workers, workers_in
from worker.enqueuer import Pool


@pytest.fixture
def workers(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Workers]:
    servers = {"database_url": database_url, "redis_url": redis_url}
    with workers_in(
        tmp_path, **servers, RUN_LEASE="3", QUEUE_CONCURRENCY='{"default": 30}'
    ) as all_:
        yield all_


class Crowd:
    """Runs of several jobs with the same marks; `keys` has the key of each number."""

    def __init__(self, pool: Pool, marks: Path) -> None:
        self.pool = pool
        self.path = marks
        self.keys: list[str] = []

    async def add(
        self, job: Job[Any, Any], keys: Sequence[str], *, seconds: float = 0, **more: Any
    ) -> range:
        """One run for each key, all at once; returns their numbers."""
        first = len(self.keys)
        payloads = [
            {"marks": self.path, "number": first + place, "seconds": seconds, "key": key}
            for place, key in enumerate(keys)
        ]
        await self.pool.enqueue_many(job.name, payloads, **more)
        self.keys += keys
        return range(first, len(self.keys))

    @property
    def marks(self) -> list[Mark]:
        return sorted(marks_in(self.path), key=lambda mark: mark.at)

    def starts(self, key: str) -> list[float]:
        """When runs of a key began, in seconds."""
        marks = self.marks
        return [m.at for m in marks if m.event == "begin" and self.keys[m.number] == key]

    async def done(self, count: int | None = None, within: float = 30) -> None:
        """Wait until so many runs (all) have ended."""
        wanted = len(self.keys) if count is None else count

        async def are_done() -> bool:
            return len({m.number for m in self.marks if m.event == "end"}) >= wanted

        await until(are_done, within)

    def most_at_once(self, key: str) -> int:
        running = most = 0
        for mark in self.marks:
            if self.keys[mark.number] == key:
                running += 1 if mark.event == "begin" else -1
                most = max(most, running)
        return most


@pytest.fixture
def crowd(pool: Pool, tmp_path: Path) -> Crowd:
    return Crowd(pool, tmp_path / "marks")


def most_in_any(window: float, starts: Sequence[float]) -> int:
    """The most starts in any half-open window of so many seconds."""
    return max(sum(1 for at in starts if first <= at < first + window) for first in starts)
