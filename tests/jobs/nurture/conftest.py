"""A tenant's contacts, and a stage on which sequences run."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.jobs.nurture.world import Stage
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

# In the morning in Istanbul, where the contacts live.
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def stage(db: "asyncpg.Pool[asyncpg.Record]", rig: Rig) -> Stage:
    return Stage(db, rig)
