"""The two subjects, and a Redis that a test may take away."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.worker.engine.defects.running import Place
from tests.worker.engine.defects.sides import SUBJECTS
from tests.worker.engine.defects.subjects import Subject
from tests.worker.trouble_servers import MortalRedis, redis_in


@pytest.fixture
async def subject(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[Subject]:
    """A test says with `@defect` which ones; it is connected to the test's Redis."""
    async with AsyncExitStack() as stack:
        subject = SUBJECTS[request.param](place, stack)
        await subject.open()
        yield subject


@pytest.fixture
async def mortal_redis(tmp_path: Path) -> AsyncIterator[MortalRedis]:
    async with redis_in(tmp_path / "mortal") as redis:
        yield redis
