"""Several Redis servers that stand in for each other: with sentinels, and as a cluster."""

import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from typing_extensions import override

from tests.ports import free_port
from tests.worker.conftest import until
from tests.worker.trouble_servers import answers
from worker.embedded_binaries import find_valkey

PASSWORD = "p@ss/word"
QUOTED = "p%40ss%2Fword"
DOWN_AFTER_MS, FAILOVER_MS = 500, 3000
SENTINELS = 3
SHARDS = 3
TAG = "desk-1"


class Servers:
    """Processes by their ports."""

    servers: list[int]

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def kill(self, port: int) -> None:
        self._processes[port].kill()
        self._processes[port].wait()

    def freeze(self, port: int) -> None:
        """It keeps its connections, and says nothing more."""
        self._processes[port].send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        for port in self._processes:
            self.kill(port)

    def _serve(self, port: int, *options: str) -> None:
        secret = ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--save", ""]
        sync = ["--repl-diskless-sync-delay", "0", "--dir", str(self._folder)]
        self._run(port, *secret, *sync, *options)

    def _run(self, port: int, *options: str) -> None:
        command = [str(find_valkey()), *options, "--port", str(port), "--bind", "127.0.0.1"]
        self._processes[port] = subprocess.Popen(command, stdout=subprocess.DEVNULL)


class Constellation(Servers, ABC):
    """A primary of our keys with its replica, and whoever watches them."""

    url: str

    @abstractmethod
    async def start(self) -> None:
        """Returns when replicas have everything and everybody knows all there are.

        Then `servers` are the ports of the primary and its replica.
        """

    @abstractmethod
    async def fail_over(self) -> None:
        """As people do it before they work on a machine."""

    async def until_promoted(self, port: int) -> None:
        async with server_at(port) as server:
            await until(lambda: has_role(server, "master"))


class Watched(Constellation):
    """A master, a replica, and sentinels."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.servers = [free_port(), free_port()]
        self.sentinels = [free_port() for _ in range(SENTINELS)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        self.url = f"redis+sentinel://:{QUOTED}@{hosts}/main"

    @override
    async def start(self) -> None:
        master, replica = self.servers
        # Without this a master takes writes that nobody will have, until it hears that it is none.
        self._serve(master, "--min-replicas-to-write", "1")
        self._serve(replica, "--replicaof", "127.0.0.1", str(master))
        for port in self.servers:
            async with server_at(port) as server:
                await until(lambda: is_linked(server))
        self._watch(master)

        async def is_watched() -> bool:
            states = [await self._state(port) for port in self.sentinels]
            return all(
                state.get("num-slaves") == 1 and state.get("num-other-sentinels") == SENTINELS - 1
                for state in states
            )

        await until(is_watched)

    @override
    async def fail_over(self) -> None:
        sentinel = Redis(port=self.sentinels[0])
        await sentinel.sentinel_failover("main")
        await sentinel.aclose()

    def _watch(self, master: int) -> None:
        for port in self.sentinels:
            config = self._folder / f"sentinel-{port}.conf"
            config.write_text(
                f"sentinel monitor main 127.0.0.1 {master} 2\n"
                f'sentinel auth-pass main "{PASSWORD}"\n'
                f"sentinel down-after-milliseconds main {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout main {FAILOVER_MS}\n"
                f"dir {self._folder}\n"
            )
            self._run(port, str(config), "--sentinel")

    async def _state(self, port: int) -> dict[str, int]:
        sentinel = Redis(port=port)
        try:
            masters = await sentinel.sentinel_masters()
            state: dict[str, int] = masters["main"]
        except (RedisError, OSError, KeyError):
            return {}
        finally:
            await sentinel.aclose()
        return state


class Clustered(Constellation):
    """Three shards of two nodes each; our keys are in one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._nodes = [cluster_port() for _ in range(2 * SHARDS)]
        # Not the whole list: a client finds the others.
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._nodes[:SHARDS])
        self.url = f"redis+cluster://:{QUOTED}@{hosts}/{TAG}"

    @override
    async def start(self) -> None:
        primaries, replicas = self._nodes[:SHARDS], self._nodes[SHARDS:]
        for port in self._nodes:
            (self._folder / str(port)).mkdir()
            self._serve(
                *(port, "--cluster-enabled", "yes", "--dir", str(self._folder / str(port))),
                *("--cluster-node-timeout", str(2 * DOWN_AFTER_MS)),
                *(("--min-replicas-to-write", "1") if port in primaries else ()),
            )
        for number, port in enumerate(primaries):
            first, last = (16384 * n // SHARDS for n in (number, number + 1))
            await do(port, "CLUSTER", "ADDSLOTSRANGE", first, last - 1)
        for port in self._nodes[1:]:
            await do(self._nodes[0], "CLUSTER", "MEET", "127.0.0.1", port)
        for primary, replica in zip(primaries, replicas, strict=True):
            name = (await do(primary, "CLUSTER", "MYID")).decode()
            await until(partial(self._knows, replica, name))
            await do(replica, "CLUSTER", "REPLICATE", name)
        for port in self._nodes:
            await until(partial(self._is_ready, port))
        await self._find_ours()

    @override
    async def fail_over(self) -> None:
        await do(self.servers[1], "CLUSTER", "FAILOVER")

    async def _find_ours(self) -> None:
        slot = await do(self._nodes[0], "CLUSTER", "KEYSLOT", f"{{{TAG}}}:any")
        shards = await do(self._nodes[0], "CLUSTER", "SLOTS")
        (ours,) = [shard for shard in shards if shard[0] <= slot <= shard[1]]
        self.servers = [node[1] for node in ours[2:]]

    async def _knows(self, port: int, name: str) -> bool:
        return name.encode() in await do(port, "CLUSTER", "NODES")

    async def _is_ready(self, port: int) -> bool:
        """It sees all slots served, each by a node with a replica, and is in step itself."""
        info = await do(port, "CLUSTER", "INFO")
        shards = await do(port, "CLUSTER", "SLOTS")
        async with server_at(port) as server:
            return (
                b"cluster_state:ok" in info
                and len(shards) == SHARDS
                and all(len(shard) == 4 for shard in shards)
                and await is_linked(server)
            )


class Lone(Servers):
    """One server; `announced` is the port that a cluster says it has."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.servers = [cluster_port()]

    async def start(self, announced: int | None = None) -> None:
        (port,) = self.servers
        self._serve(port)
        await do(port, "PING")


class Node(Lone):
    """A cluster of one, which is as strict about slots as a large one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = f"redis+cluster://:{QUOTED}@127.0.0.1:{self.servers[0]}"

    @override
    async def start(self, announced: int | None = None) -> None:
        (port,) = self.servers
        self.serve_nothing(announced)
        await do(port, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await until(partial(self._is_ready, port))

    def serve_nothing(self, announced: int | None = None) -> None:
        (port,) = self.servers
        self._serve(
            port, "--cluster-enabled", "yes", "--cluster-announce-port", str(announced or port)
        )

    async def _is_ready(self, port: int) -> bool:
        return b"cluster_state:ok" in await do(port, "CLUSTER", "INFO")


@asynccontextmanager
async def server_at(port: int) -> AsyncIterator[Redis]:
    server = Redis(port=port, password=PASSWORD)
    try:
        yield server
    finally:
        await server.aclose()


async def has_role(server: Redis, role: str) -> bool:
    return bool((await server.info("replication"))["role"] == role)


async def is_linked(server: Redis) -> bool:
    """A master with its replica in step, or a replica with its master."""
    try:
        state = await server.info("replication")
    except (RedisError, OSError):
        return False
    if state["role"] == "slave":
        return bool(state["master_link_status"] == "up")
    return bool(state["connected_slaves"] == 1 and state["slave0"]["state"] == "online")


def cluster_port() -> int:
    """The nodes speak to each other on a port that is 10 000 higher."""
    while True:
        port = free_port()
        if port < 55_000:
            return port


async def do(port: int, *command: str | int) -> Any:
    """Raw: redis-py would make something of the answer."""
    async with server_at(port) as server:
        await until(lambda: answers(server))
        connection = await server.connection_pool.get_connection()
        try:
            await connection.send_command(*command)
            return await connection.read_response()
        finally:
            await server.connection_pool.release(connection)
