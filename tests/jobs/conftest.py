"""Jobs are run as a worker would run them, on a database of the test's own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rig(db: "asyncpg.Pool[asyncpg.Record]", clock: Clock) -> Iterator[Rig]:
    with Rig(db=db, clock=clock) as rig:
        yield rig
