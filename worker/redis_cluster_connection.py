"""Connections to whichever node of a Redis Cluster has our slot; for asyncio, and for a thread."""

from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.connection import AbstractConnection as SyncAbstractConnection
from redis.connection import Connection as SyncConnection
from redis.connection import SSLConnection as SyncSSLConnection
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from typing_extensions import override

from worker.redis_cluster import Cluster, says_elsewhere
from worker.redis_url import Address

_ASK_WITHIN = 2.0  # seconds


class _Managed(AbstractConnection):
    """A connection to whichever node has our slot; `plain` is the kind that asks the others."""

    plain: type[AbstractConnection]
    host: str
    port: int

    def __init__(self, *, cluster: Cluster, **options: Any) -> None:
        super().__init__(**options)
        self._cluster = cluster
        self._options = options
        self.tagged = cluster.tagged

    @override
    async def connect(self) -> None:
        if self.is_connected:
            if (self.host, self.port) == self._cluster.primary:
                return
            await self.disconnect(nowait=True)  # somebody found another since
        self.host, self.port = await self._find()
        try:
            await super().connect()  # type: ignore[no-untyped-call]  # redis-py has no types here
        except RedisError:
            self._cluster.doubt()
            raise

    async def _find(self) -> Address:
        reason: Exception | None = None
        for host, port in self._cluster.candidates():
            node = self.plain(**{**self._options, **_patience(self), "host": host, "port": port})
            try:
                answers = [await _ask(node, question) for question in self._cluster.questions()]
                return self._cluster.learn((host, port), *answers)
            except (AuthenticationError, NoPermissionError):
                raise
            except (RedisError, OSError) as error:
                reason = error
            finally:
                await node.disconnect(nowait=True)
        raise RedisConnectionError(f"no node of the Redis Cluster answers: {reason}") from reason

    @override
    def pack_command(self, *args: Any) -> list[bytes]:
        return super().pack_command(*self.tagged(args))

    @override
    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ResponseError as answer:
            if not _is_elsewhere(answer):
                raise
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"the node gave up our keys: {answer}") from None


class ClusterConnection(_Managed, Connection):
    plain = Connection


class ClusterSSLConnection(_Managed, SSLConnection):
    plain = SSLConnection


class _SyncManaged(SyncAbstractConnection):
    """The same for a thread."""

    plain: type[SyncAbstractConnection]
    host: str
    port: int

    def __init__(self, *, cluster: Cluster, **options: Any) -> None:
        super().__init__(**options)
        self._cluster = cluster
        self._options = options
        self._command_packer = _Packer(self._command_packer, cluster)

    @override
    def connect(self) -> None:
        if self._sock:
            if (self.host, self.port) == self._cluster.primary:
                return
            self.disconnect()
        self.host, self.port = self._find()
        try:
            super().connect()  # type: ignore[no-untyped-call]  # as above
        except RedisError:
            self._cluster.doubt()
            raise

    def _find(self) -> Address:
        reason: Exception | None = None
        for host, port in self._cluster.candidates():
            node = self.plain(**{**self._options, **_patience(self), "host": host, "port": port})
            try:
                answers = [_ask_sync(node, question) for question in self._cluster.questions()]
                return self._cluster.learn((host, port), *answers)
            except (AuthenticationError, NoPermissionError):
                raise
            except (RedisError, OSError) as error:
                reason = error
            finally:
                node.disconnect()
        raise RedisConnectionError(f"no node of the Redis Cluster answers: {reason}") from reason

    @override
    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[no-untyped-call]  # as above
        except ResponseError as answer:
            if not _is_elsewhere(answer):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]  # as above
            raise RedisConnectionError(f"the node gave up our keys: {answer}") from None


class SyncClusterConnection(_SyncManaged, SyncConnection):
    plain = SyncConnection


class SyncClusterSSLConnection(_SyncManaged, SyncSSLConnection):
    plain = SyncSSLConnection


class _Packer:
    """redis-py's own, on tagged keys."""

    def __init__(self, packer: Any, cluster: Cluster) -> None:
        self._packer = packer
        self._cluster = cluster

    def pack(self, *args: Any) -> Any:
        return self._packer.pack(*self._cluster.tagged(args))


def _is_elsewhere(answer: ResponseError) -> bool:
    return isinstance(answer, ReadOnlyError) or says_elsewhere(str(answer))


def _patience(connection: Any) -> dict[str, float]:
    """Timeouts for one of many: a node that hangs shall not hold up the search for long."""
    names = ("socket_connect_timeout", "socket_timeout")
    return {name: min(getattr(connection, name) or _ASK_WITHIN, _ASK_WITHIN) for name in names}


async def _ask(node: AbstractConnection, question: str) -> Any:
    await node.connect()
    await node.send_command(question)
    return await node.read_response()


def _ask_sync(node: SyncAbstractConnection, question: str) -> Any:
    node.connect()
    node.send_command(question)
    return node.read_response()
