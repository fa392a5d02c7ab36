"""Posts what a stand-in tells, again and again until somebody takes it, as the real ones do."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)


@dataclass
class Poster:
    """`statuses` are the answers it got, in order; 0 where none came."""

    attempts: int = 5
    wait: float = 0.05  # seconds after the first refusal, twice as many after each
    statuses: list[int] = field(default_factory=list)
    _tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    async def post(
        self,
        url: str,
        body: bytes,
        headers: dict[str, str],
        *,
        attempts: int | None = None,
        takes_refusals: bool = False,
    ) -> int:
        """The last answer's status. A redirect is an answer like any other.

        With `takes_refusals` only what nobody answered is posted again.
        """
        status = 0
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            for attempt in range(attempts or self.attempts):
                try:
                    async with session.post(
                        url, data=body, headers=headers, allow_redirects=False
                    ) as reply:
                        status = reply.status
                except (aiohttp.ClientError, TimeoutError):
                    status = 0
                self.statuses.append(status)
                if 200 <= status < 300 or (takes_refusals and status):
                    break
                await asyncio.sleep(self.wait * 2**attempt)
        return status

    def later(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Until everything that was begun is over."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def disordered(items: list[Any], *, copies: int, seed: object) -> list[Any]:
    """All of them, so many times, in an order that the seed decides."""
    mixed = items * copies
    random.Random(str(seed)).shuffle(mixed)  # noqa: S311 - no secret
    return mixed
