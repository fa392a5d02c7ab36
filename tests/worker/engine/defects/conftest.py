"""The two subjects, and a Redis that a test may take away."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from tests.conftest import MakeSettings
from tests.worker.conftest import until
from tests.worker.engine.defects.running import Place
from tests.worker.engine.defects.sides import SUBJECTS
from tests.worker.engine.defects.subjects import Subject
from worker.embedded_binaries import find_valkey
from worker.enqueuer import Pool
from worker.redis_pool import open_redis


@pytest.fixture
async def subject(
    request: pytest.FixtureRequest,
    redis_url: str,
    database_url: str,
    make_settings: MakeSettings,
    tmp_path: Path,
) -> AsyncIterator[Subject]:
    """A test says with `@defect` which ones; it is connected to the test's Redis."""
    async with AsyncExitStack() as stack:
        place = Place(redis_url, database_url, tmp_path, make_settings)
        subject = SUBJECTS[request.param](place, stack)
        await subject.open()
        yield subject


class MortalRedis:
    """A Redis on a port of its own that a test may stop and start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def start(self, *, is_empty: bool = False) -> None:
        """Start it, with what it had written down or without; returns when it answers."""
        if is_empty:
            for file in self._folder.rglob("*.aof*"):
                file.unlink()
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        keep = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command = [str(find_valkey()), *place, *keep]
        self._process = subprocess.Popen(  # noqa: ASYNC220 - it only starts it
            command, stdout=subprocess.DEVNULL
        )
        pool = open_redis(self.url, Pool)
        await until(lambda: _answers(pool))
        await pool.aclose()


async def _answers(pool: Pool) -> bool:
    try:
        return bool(await pool.ping())
    except (RedisError, OSError):
        return False


@pytest.fixture
async def mortal_redis(tmp_path: Path) -> AsyncIterator[MortalRedis]:
    folder = tmp_path / "mortal"
    folder.mkdir()
    redis = MortalRedis(folder)
    await redis.start()
    yield redis
    await asyncio.to_thread(redis.kill)
