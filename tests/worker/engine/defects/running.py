"""Workers that run, in this process or in one of their own, and what is asked of them."""

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arq import Worker

from tests.conftest import MakeSettings


class WorkerDiedError(Exception):
    """A worker ended that nobody had told to."""


async def becomes(condition: Callable[[], Awaitable[object]], within: float) -> bool:
    """Whether it comes true within so many seconds."""
    try:
        async with asyncio.timeout(within):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test's workers find their servers, and what belongs to the test."""

    redis_url: str
    database_url: str
    folder: Path
    make_settings: MakeSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of a worker, in words that hold for both.

    lease     seconds; at least 3 for deskhand, any for ARQ; by default 3, and what ARQ computes
    grace     seconds that runs get to finish after a signal
    codec     one of CODECS, for ARQ; deskhand has its own
    arq       more of ARQ's own arguments, which deskhand takes as well
    """

    concurrency: int = 10
    lease: float | None = None
    grace: float = 0
    codec: str = "pickle"
    redis_url: str | None = None
    arq: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class InProcess:
    """A worker on this loop. `signal` does what a SIGTERM does to it as a process."""

    worker: Worker
    task: asyncio.Task[None]
    has_grace: bool
    is_told: bool = False

    def signal(self) -> None:
        self.is_told = True
        if self.has_grace:
            self.worker.handle_sig_wait_for_completion(signal.SIGTERM)
        else:
            self.worker.handle_sig(signal.SIGTERM)

    async def end(self, within: float = 20) -> None:
        """Wait until it has ended, however it does. Raises TimeoutError."""
        _, waiting = await asyncio.wait({self.task}, timeout=within)
        if waiting:
            raise TimeoutError("the worker goes on")
        closing = asyncio.create_task(self.worker.close())
        await asyncio.wait({closing})
        # A process of its own that died in there would leave its connections to the kernel.
        left = self.worker._pool
        if left is not None:
            await left.aclose(close_connection_pool=True)
        for task in (self.task, closing):
            if not task.cancelled():
                task.exception()  # looked at: what it was, `check_alive` says

    async def stop(self) -> None:
        if not self.is_told:
            self.signal()
        await self.end()


@dataclass(eq=False)
class Process:
    """A worker as a process of its own."""

    popen: "subprocess.Popen[bytes]"
    log: Path
    is_told: bool = False

    def send(self, number: signal.Signals) -> None:
        self.is_told = self.is_told or number is not signal.SIGSTOP
        self.popen.send_signal(number)

    async def end(self) -> int:
        return await asyncio.to_thread(self.popen.wait, 20)

    def stop(self) -> None:
        self.popen.kill()
        self.popen.wait()


async def says(log: Path, sentence: str) -> bool:
    return sentence in log.read_text()
