"""Connections to the sidecar: how many there may be, how long they may be silent, what is no HTTP.

All of this is before anybody has said who they are, and aiohttp has no bounds of its own: whoever
opens connections and says nothing would take the descriptors that Redis and PostgreSQL need.
"""

import asyncio
import resource
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from worker.sidecar.answers import error_answer, secure
from worker.telemetry.logs import get_logger

HEAD_TIMEOUT: Final = 10.0  # seconds until the head of the first request is there
_KEEP_ALIVE: Final = 300.0  # seconds between two requests: longer than proxies keep them
_MOST: Final = 500
_TELL_EVERY: Final = 60.0  # seconds
_BROKEN = "the request cannot be read: its first line, a header or an encoding is broken"
_SERVER_ERROR: Final = 500
_log = get_logger(__name__)


def most_connections() -> int:
    """At once; at most a quarter of what this process may open."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if allowed < 0 else max(10, min(_MOST, allowed // 4))


class Runner(web.AppRunner):
    """aiohttp's own, with `Connections` in place of its server."""

    def __init__(self, app: web.Application, *, shutdown_timeout: float) -> None:
        options: dict[str, Any] = {"access_log": None, "keepalive_timeout": _KEEP_ALIVE}
        super().__init__(app, shutdown_timeout=shutdown_timeout, **options)
        self._options = options

    @override
    async def _make_server(self) -> web.Server:
        return Connections(await super()._make_server(), self._options)


class Connections(web.Server):
    """Makes room for a new connection by closing the one that has been silent for longest."""

    def __init__(self, made: web.Server, options: dict[str, Any]) -> None:
        super().__init__(self._answer, request_factory=made.request_factory, **options)
        self._application = made.request_handler
        self._most = most_connections()
        self._told_at = float("-inf")
        self._untold = 0

    @override
    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """`Expect` is refused before any handler, and with its own words."""
        try:
            return await self._application(request)
        except web.HTTPExpectationFailed as refusal:
            return error_answer(refusal.status, "expectation_failed", "leave out the header Expect")

    def make_room(self) -> bool:
        """False when all there may be are at work."""
        if len(self._connections) < self._most:
            return True
        for one in self._connections:  # the oldest first
            if isinstance(one, Connection) and one.is_silent:
                one.force_close()
                self._connections.pop(one, None)
                return True
        return False

    def tell(self, what: str, error: BaseException | None = None) -> None:
        """Warn once a minute: anybody can be the cause, as often as they like."""
        now = self._loop.time()
        self._untold += 1
        if now - self._told_at >= _TELL_EVERY:
            _log.warning(what, times=self._untold, error_type=type(error).__name__)
            self._told_at, self._untold = now, 0


class Connection(RequestHandler):
    """One that has to say what it wants, and learns what is wrong with it in our words."""

    def __init__(self, server: Connections, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_silent(self) -> bool:
        """Is there no request of it that is being answered, or to be answered?"""
        return not (self._request_in_progress or self._messages)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._server.make_room():
            self._server.tell("Too many connections")
            self._force_close = True
            transport.close()
            return
        super().connection_made(transport)
        self._deadline = self._loop.call_later(HEAD_TIMEOUT, self._end_without_request)

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    @override
    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """What is left of a body is read when its request has been answered, which said so."""
        error = kwargs.get("exc_info")
        if isinstance(error, web.RequestPayloadError):
            self._server.tell("Malformed requests were refused", error)
            return
        super().log_exception(*args, **kwargs)

    def _end_without_request(self) -> None:
        if self._request_count == 0:
            self.force_close()

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Without the request's text, which may be personal, in log or answer."""
        if status < _SERVER_ERROR:
            self._server.tell("Malformed requests were refused", exc)
            answer = error_answer(status, "malformed", _BROKEN)
        else:  # handlers answer for themselves: what comes here broke in the middle of an answer
            if request.writer.output_size > 0:
                raise ConnectionError("the answer has begun: it can only be broken off")
            _log.error("Request failed", method=request.method, exc_info=exc)
            answer = error_answer(status, "internal_server_error", "Internal Server Error")
        secure(answer.headers)
        answer.force_close()
        return answer
