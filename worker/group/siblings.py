"""What the processes of a group ask each other, over a unix socket of each: health and metrics."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar

import aiohttp
from aiohttp import hdrs, web

from worker.group.exposition import merged
from worker.group.member import Member
from worker.sidecar.app import REFRESH_TIMEOUT, Sidecar
from worker.sidecar.health import Health

T = TypeVar("T")

_SELF_TIMEOUT = 1.5  # seconds; within what a health check may take
_METRICS_TIMEOUT = REFRESH_TIMEOUT + 2
_WELL = frozenset({"ok", "degraded", "draining"})
_NOT_YET = frozenset({"away", "starting"})


class SiblingsError(Exception):
    """Processes of the group are not well; the sentence says which."""


class Siblings:
    """The others of a group. `patience` is how many seconds they may take to come up at first."""

    def __init__(
        self,
        member: Member,
        health: Health,
        *,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._member = member
        self._health = health
        self._clock = clock
        self._until = clock() + patience
        self._met: set[int] = set()
        self._sessions: dict[int, aiohttp.ClientSession] = {}

    @asynccontextmanager
    async def serving(self, sidecar: Sidecar) -> AsyncIterator[None]:
        """Answer the others, and be able to ask them, while inside."""
        async with AsyncExitStack() as stack:
            for number in self._member.siblings:
                path = str(self._member.socket_of(number))
                self._sessions[number] = await stack.enter_async_context(
                    aiohttp.ClientSession(
                        connector=aiohttp.UnixConnector(path, force_close=True),
                        cookie_jar=aiohttp.DummyCookieJar(),
                    )
                )
            stack.callback(self._leave)
            stack.push_async_callback((await self._answering(sidecar)).cleanup)
            yield

    async def _answering(self, sidecar: Sidecar) -> web.AppRunner:
        async def status(request: web.Request) -> web.Response:
            del request
            return web.Response(text=self._health.own())

        async def metrics(request: web.Request) -> web.Response:
            body, kind = await sidecar.exposition(request.headers.get(hdrs.ACCEPT))
            return web.Response(body=body, headers={hdrs.CONTENT_TYPE: kind})

        app = web.Application()
        app.add_routes([web.get("/status", status), web.get("/metrics", metrics)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        # One that was killed has left its socket behind: asyncio takes it away.
        await web.UnixSite(runner, str(self._member.socket_of(self._member.number))).start()
        return runner

    def _leave(self) -> None:
        """The folder is the supervisor's; without one, the last process takes it away."""
        self._member.socket_of(self._member.number).unlink(missing_ok=True)
        if self._member.orders.is_orphan:
            with suppress(OSError):  # others are still there
                self._member.folder.rmdir()

    async def check(self) -> Mapping[str, object]:
        """A health check. Raises SiblingsError when one is away, silent or not well itself."""
        if self._health.state != "running":
            return {}
        told = await self._of_each(_status_of)
        self._met |= {number for number, status in told.items() if status in _WELL}
        bad = [
            f"process {number} is {status}"
            for number, status in told.items()
            if status not in _WELL and not self._may_still_come(number, status)
        ]
        if bad:
            raise SiblingsError(", ".join(bad))
        return {}

    def _may_still_come(self, number: int, status: str) -> bool:
        return status in _NOT_YET and number not in self._met and self._clock() < self._until

    async def merge(self, body: bytes, accept: str | None) -> bytes:
        """This process's metrics and the others', at most some seconds later."""

        async def metrics_of(session: aiohttp.ClientSession) -> bytes | None:
            headers = {} if accept is None else {str(hdrs.ACCEPT): accept}
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                return await _get(session, "/metrics", headers, within=_METRICS_TIMEOUT)
            return None

        bodies = {self._member.number: body, **await self._of_each(metrics_of)}
        return await asyncio.to_thread(merged, dict(sorted(bodies.items())))

    async def _of_each(self, ask: Callable[[aiohttp.ClientSession], Awaitable[T]]) -> dict[int, T]:
        answers = await asyncio.gather(*(ask(session) for session in self._sessions.values()))
        return dict(zip(self._sessions, answers, strict=True))


async def _status_of(session: aiohttp.ClientSession) -> str:
    try:
        return (await _get(session, "/status", {}, within=_SELF_TIMEOUT)).decode()
    except TimeoutError:
        return "silent"
    except (aiohttp.ClientError, OSError):
        return "away"


async def _get(
    session: aiohttp.ClientSession, path: str, headers: Mapping[str, str], *, within: float
) -> bytes:
    async with (
        asyncio.timeout(within),
        session.get(f"http://sibling{path}", headers=headers) as got,
    ):
        got.raise_for_status()
        return await got.read()
