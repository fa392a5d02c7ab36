"""One connection to Redis for the engine's hot path: many callers, answers in order, push messages.

redis-py opens it (login, TLS, database, Sentinel, Cluster) and hands the transport over; from then
on bytes go straight to hiredis. That halves the cost of a small call, and RESP3 brings the pushes
of CLIENT TRACKING on the same connection. It never sends a command twice: a lost answer does not
say whether the script ran, and only the caller knows what that means.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import hiredis
from redis.asyncio import Redis
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from typing_extensions import override

from worker.redis_cluster import says_elsewhere

Argument: TypeAlias = str | bytes | int | float


class NotNowError(RedisError):
    """Redis refuses whatever one asks, or whatever writes; what was asked is not to blame."""


# A server that answers like this is not, or not yet, the one to talk to: ask again where it is.
_WRONG_SERVER = (ReadOnlyError, BusyLoadingError)
_ERRORS: dict[str, type[RedisError]] = {
    "NOSCRIPT": NoScriptError,
    "READONLY": ReadOnlyError,
    "LOADING": BusyLoadingError,
    "MASTERDOWN": BusyLoadingError,
    "NOREPLICAS": BusyLoadingError,
    "OOM": NotNowError,  # full
    "MISCONF": NotNowError,  # it cannot save
    "BUSY": NotNowError,  # somebody's script runs and runs
}


class Script:
    """A Lua script, sent by its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        # Redis names scripts by SHA-1; nothing is kept secret by it.
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Wire:
    """Connects at the first call, and again after a failure at the next one.

    Raises redis.exceptions.RedisError and OSError; a call that takes longer than `timeout` seconds
    closes the connection. `on_push` gets every push message's list, `on_lost` is called when a
    connection ends that was not closed from here.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        timeout: float = 15,
        setup: tuple[tuple[Argument, ...], ...] = (),
        on_push: Callable[[list[Any]], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._redis = redis
        self._timeout = timeout
        self._setup = setup
        self._on_push = on_push
        self._on_lost = on_lost
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()

    async def call(self, *command: Argument) -> Any:
        """Send one command and wait for its answer."""
        line = self._line
        if line is None or line.is_closed:
            line = await self._connect()
        answer = line.send(command)
        timer = answer.get_loop().call_later(self._timeout, line.give_up)
        try:
            return await answer
        except _WRONG_SERVER:
            line.close()
            raise
        finally:
            timer.cancel()

    async def evaluate(self, script: Script, *keys_and_arguments: Argument, keys: int) -> Any:
        """Run a script; the first `keys` of the arguments are its KEYS."""
        try:
            return await self.call("EVALSHA", script.digest, keys, *keys_and_arguments)
        except NoScriptError:
            return await self.call("EVAL", script.text, keys, *keys_and_arguments)

    @property
    def is_open(self) -> bool:
        """A call would go out at once, behind those that wait for their answers."""
        return self._line is not None and not self._line.is_closed

    def close(self) -> None:
        if self._line is not None:
            self._line.on_lost = None
            self._line.close()
            self._line = None

    async def _connect(self) -> "_Line":
        async with self._connecting:
            if self._line is not None and not self._line.is_closed:
                return self._line
            async with asyncio.timeout(self._timeout):
                line = await _open(self._redis, self._on_push)
                try:
                    for command in (("HELLO", 3), *self._setup):
                        await line.send(command)
                except BaseException:
                    line.close()
                    raise
            line.on_lost = self._on_lost
            self._line = line
            return line


class _Line(asyncio.Protocol):
    """What is between us and one socket."""

    def __init__(self, on_push: Callable[[list[Any]], None] | None) -> None:
        self._reader = hiredis.Reader(protocolError=RedisConnectionError, replyError=_to_error)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._on_push = on_push
        self.on_lost: Callable[[], None] | None = None
        self.transport: asyncio.Transport | None = None
        # In a Redis Cluster: the same command on its tagged keys.
        self.tagged: Callable[[tuple[Argument, ...]], tuple[Argument, ...]] | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.is_closed = False

    def send(self, command: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self.is_closed or self.transport is None:
            answer.set_exception(RedisConnectionError("the connection to Redis is closed"))
            return answer
        if self.tagged is not None:
            command = self.tagged(command)
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # any of these, mixed
        self._waiting.append(answer)
        try:
            self.transport.write(packed)
        except RuntimeError:  # uvloop's word for a connection that is about to be told lost
            self.close()
        return answer

    @override
    def data_received(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self._take(reply)
        except RedisConnectionError as error:
            self._end(error)

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            if self._on_push is not None:
                self._on_push(reply)
            return
        if not self._waiting:
            raise RedisConnectionError("Redis answered what nobody asked")
        answer = self._waiting.popleft()
        if answer.done():
            return  # its caller was cancelled
        if isinstance(reply, RedisError):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end(RedisConnectionError(f"Redis closed the connection: {exc or 'end of stream'}"))

    def give_up(self) -> None:
        """An answer is late: those behind it would be too, and nobody knows when it comes."""
        self._end(RedisTimeoutError("Redis did not answer in time"))

    def close(self) -> None:
        self._end(RedisConnectionError("the connection to Redis was closed"))

    def _end(self, error: RedisError) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if self.transport is not None:
            self.transport.abort()
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(error)
        if self.on_lost is not None:
            self.on_lost()


async def _open(redis: Redis, on_push: Callable[[list[Any]], None] | None) -> _Line:
    """A connection made by redis-py, and taken over from it."""
    connection = redis.connection_pool.make_connection()
    await connection.connect()
    writer = connection._writer  # noqa: SLF001 - redis-py is pinned below 6 by arq
    if writer is None:
        raise RedisConnectionError("Redis closed the connection at once")
    line = _Line(on_push)
    line.transport = writer.transport
    line.tagged = getattr(connection, "tagged", None)
    writer.transport.set_protocol(line)
    # redis-py closes what it still has when it forgets the connection, and so does the writer.
    line.writer = writer
    connection._reader = connection._writer = None  # noqa: SLF001 - as above
    return line


def _to_error(text: str) -> RedisError:
    if says_elsewhere(text):
        return BusyLoadingError(text)
    code, _, rest = text.partition(" ")
    kind = _ERRORS.get(code)
    return ResponseError(text) if kind is None else kind(rest)
