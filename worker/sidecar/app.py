"""The sidecar: one HTTP server beside the engine, on `HOST:PORT`.

Health and metrics are always open and tell neither hosts nor errors. Console and API bring their
own routes, and ask who is there themselves.
"""

import asyncio
import math
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from aiohttp import hdrs, web

from worker.sidecar.answers import error_answer, secure
from worker.sidecar.connections import Runner
from worker.sidecar.health import Health, Report
from worker.sidecar.listening import SidecarError, advice
from worker.telemetry.logs import get_logger
from worker.telemetry.metrics import Metrics

REFRESH_EVERY: Final = 5.0  # seconds
REFRESH_TIMEOUT: Final = 2.0  # seconds
_CLOSE_TIMEOUT: Final = 2.0  # seconds for answers under way when the sidecar stops
_STARTED: Final = web.RequestKey("answer_started", bool)
_log = get_logger(__name__)

Merge = Callable[[bytes, str | None], Awaitable[bytes]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sidecar:
    """Serves `/health…`, `/metrics` and whatever `routes` bring.

    `refresh` brings the metrics of the whole cluster up to date (`Metrics.set_queue_sizes`); it is
    awaited by scrapes, every `REFRESH_EVERY` at most, and a scrape succeeds without it. `merge`
    adds to a scrape what other processes would have answered to the same Accept header.
    """

    def __init__(
        self,
        health: Health,
        metrics: Metrics,
        *,
        refresh: Callable[[], Awaitable[None]] | None = None,
        merge: Merge | None = None,
        routes: Iterable[web.AbstractRouteDef] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._merge = merge
        self._refreshed = _Refreshed(refresh, clock) if refresh is not None else None
        self._runner: web.AppRunner | None = None
        self.app = web.Application(middlewares=[_errors_as_json])
        self.app.on_response_prepare.append(_secure)
        self.app.add_routes([*_health_routes(health), web.get("/metrics", self._scrape), *routes])

    @property
    def port(self) -> int:
        """The port it listens on (which one, when it was started with 0)."""
        if self._runner is None:
            raise RuntimeError("the sidecar is not started")
        return int(self._runner.addresses[0][1])

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises SidecarError when the address is taken, not ours or not allowed."""
        runner = await self._set_up()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise SidecarError(advice(host, port, error)) from error
        self._runner = runner

    async def start_on(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on sockets that other processes may listen on, too."""
        self._runner = runner = await self._set_up()
        for each in sockets:
            await web.SockSite(runner, each).start()

    async def _set_up(self) -> web.AppRunner:
        runner = Runner(self.app, shutdown_timeout=_CLOSE_TIMEOUT)
        await runner.setup()
        return runner

    async def stop(self) -> None:
        """Stop listening; answers under way get a moment."""
        runner, self._runner = self._runner, None
        if self._refreshed is not None:
            self._refreshed.cancel()
        if runner is not None:
            await runner.cleanup()

    async def _scrape(self, request: web.Request) -> web.Response:
        accept = request.headers.get(hdrs.ACCEPT)
        body, content_type = await self.exposition(accept)
        if self._merge is not None:
            body = await self._merge(body, accept)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def exposition(self, accept: str | None) -> tuple[bytes, str]:
        """The metrics of this process, and their content type."""
        if self._refreshed is not None and not await self._refreshed.is_fresh():
            self._metrics.collect_failed("cluster")
        # In a thread: thousands of series take tens of milliseconds to print.
        return await asyncio.to_thread(self._metrics.render, accept)


class _Refreshed:
    """Calls `refresh` seldom, once for all scrapes that wait, and never waits long for it."""

    def __init__(self, refresh: Callable[[], Awaitable[None]], clock: Callable[[], float]) -> None:
        self._refresh = refresh
        self._clock = clock
        self._task: asyncio.Task[bool] | None = None
        self._succeeded_at = -math.inf

    async def is_fresh(self) -> bool:
        """Bring up to date if need be; False when that failed or takes too long."""
        if self._task is None:
            age = self._clock() - self._succeeded_at
            if age < REFRESH_EVERY:
                return True
            self._task = asyncio.create_task(self._run(), name="metrics-refresh")
        task = self._task
        await asyncio.wait({task}, timeout=REFRESH_TIMEOUT)
        if not task.done():
            task.cancel()
            return False
        return not task.cancelled() and task.result()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> bool:
        try:
            await self._refresh()
        except Exception as error:  # noqa: BLE001 - whatever it is, the scrape goes on
            _log.warning("Metrics of the cluster could not be collected", error=error)
            return False
        else:
            self._succeeded_at = self._clock()
            return True
        finally:
            self._task = None


def _health_routes(health: Health) -> list[web.RouteDef]:
    def answering(report: Callable[[], Report]) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            del request
            current = report()
            return web.json_response(current.body, status=current.status)

        return answer

    paths = {
        ("/health", "/healthz"): health.summary,
        ("/health/live", "/livez"): health.live,
        ("/health/ready", "/readyz"): health.ready,
        ("/health/startup",): health.startup,
    }
    # `web.get` answers HEAD as well.
    return [web.get(path, answering(report)) for names, report in paths.items() for path in names]


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        if refusal.status < web.HTTPBadRequest.status_code:  # a redirect is no error
            raise
        answer = _error_of(refusal.status, refusal.reason)
        for name, value in refusal.headers.items():  # Allow, WWW-Authenticate, Retry-After
            answer.headers.setdefault(name, value)
        return answer
    except Exception as error:
        answer = _error_of(web.HTTPInternalServerError.status_code, "Internal Server Error")
        _log.error(
            "Request failed",
            method=request.method,
            path=request.path,
            request_id=answer.headers["X-Request-ID"],
            exc_info=error,
        )
        if _STARTED in request:  # too late to answer anything else: the connection is closed
            raise
        return answer


def _error_of(status: int, reason: str) -> web.Response:
    return error_answer(status, reason.lower().replace(" ", "_"), reason)


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    request[_STARTED] = True
    secure(response.headers)
