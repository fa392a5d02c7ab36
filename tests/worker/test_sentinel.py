"""REDIS_URL=redis+sentinel://…: a real fail-over under a worker with runs in hand (V-02)."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.worker.conftest import StartWorker, until
from tests.worker.trouble_jobs import NAPS
from tests.worker.trouble_servers import Load
from worker.embedded_binaries import find_valkey
from worker.enqueuer import Pool
from worker.redis_pool import open_redis

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

PASSWORD = "p@ss/word"
QUOTED = "p%40ss%2Fword"
DOWN_AFTER_MS, FAILOVER_MS = 500, 3000
SENTINELS = 3
NAP = NAPS["default"]


class Constellation:
    """A master, a replica, and sentinels that watch them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.servers = [free_port(), free_port()]
        self.sentinels = [free_port() for _ in range(SENTINELS)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        self.url = f"redis+sentinel://:{QUOTED}@{hosts}/main"

    async def start(self) -> None:
        """Returns when the replica has everything and the sentinels know all there are."""
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

    def _serve(self, port: int, *options: str) -> None:
        secret = ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--save", ""]
        sync = ["--repl-diskless-sync-delay", "0", "--dir", str(self._folder)]
        self._run(port, *secret, *sync, *options)

    def _run(self, port: int, *options: str) -> None:
        command = [str(find_valkey()), *options, "--port", str(port), "--bind", "127.0.0.1"]
        self._processes[port] = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def kill(self, port: int) -> None:
        self._processes[port].kill()
        self._processes[port].wait()

    def stop(self) -> None:
        for port in self._processes:
            self.kill(port)

    async def _state(self, port: int) -> dict[str, int]:
        sentinel = Redis(port=port)
        try:
            masters = await sentinel.sentinel_masters()  # type: ignore[no-untyped-call]  # redis-py has no types here
            state: dict[str, int] = masters["main"]
        except (RedisError, OSError, KeyError):
            return {}
        finally:
            await sentinel.aclose()
        return state

    async def fail_over(self) -> None:
        """As people do it before they work on a machine."""
        sentinel = Redis(port=self.sentinels[0])
        await sentinel.sentinel_failover("main")  # type: ignore[no-untyped-call]  # as above
        await sentinel.aclose()

    async def until_promoted(self, port: int) -> None:
        async with server_at(port) as server:
            await until(lambda: has_role(server, "master"))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


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


@pytest.fixture
async def constellation(tmp_path: Path) -> AsyncIterator[Constellation]:
    constellation = Constellation(tmp_path)
    try:
        await constellation.start()
        yield constellation
    finally:
        await asyncio.to_thread(constellation.stop)


@pytest.fixture
async def pool(constellation: Constellation) -> AsyncIterator[Pool]:
    pool = open_redis(constellation.url, Pool)
    yield pool
    await pool.aclose()


async def in_step(pool: Pool) -> None:
    """What the replica has not got when its master dies is lost; that is not what this is about."""
    assert await pool.wait(1, 5000) == 1


async def check_each_ran_once(load: Load, db: "Db") -> None:
    async def are_written() -> bool:
        return bool(await db.fetchval("select count(*) from job_runs") == len(load.handles))

    await until(are_written)
    assert load.count("begin") == load.count("end") == dict.fromkeys(load.handles, 1)
    rows = await db.fetch("select run_id, outcome, attempt from job_attempts")
    assert sorted(row["run_id"] for row in rows) == sorted(load.run_ids)
    assert {(row["outcome"], row["attempt"]) for row in rows} == {("succeeded", 1)}


async def test_a_worker_goes_on_after_the_master_was_killed(
    constellation: Constellation,
    pool: Pool,
    start_worker: StartWorker,
    db: "Db",
    tmp_path: Path,
) -> None:
    await start_worker(redis_url=constellation.url, run_lease=10)
    load = Load(pool, tmp_path / "marks")
    master, replica = constellation.servers
    # One ends while there is no master, one after there is one again.
    in_hand = [await load.add(NAP, seconds=0.6), await load.add(NAP, seconds=6)]
    waiting = [await load.add(NAPS["maintenance"], seconds=0.5) for _ in range(3)]
    for number in in_hand:
        await load.until(number, "begin")
    await in_step(pool)

    await asyncio.to_thread(constellation.kill, master)
    later = await load.add(NAPS["sync"])  # sent again and again, until there is a master
    await constellation.until_promoted(replica)

    numbers = [*in_hand, *waiting, later]
    assert [await load.result(number) for number in numbers] == numbers
    after = await load.add(NAPS["email"])
    assert await load.result(after) == after
    await check_each_ran_once(load, db)


async def test_a_planned_fail_over_goes_unnoticed(
    constellation: Constellation,
    pool: Pool,
    start_worker: StartWorker,
    db: "Db",
    tmp_path: Path,
) -> None:
    await start_worker(redis_url=constellation.url, run_lease=10, keep_completed=1000)
    load = Load(pool, tmp_path / "marks")
    in_hand = await load.add(NAPS["sync"], seconds=3)
    adding = asyncio.create_task(add_some(load, 40))
    await load.until(10, "begin")
    await in_step(pool)

    await constellation.fail_over()
    await constellation.until_promoted(constellation.servers[1])

    await adding
    assert await load.result(in_hand) == in_hand
    await check_each_ran_once(load, db)


async def add_some(load: Load, count: int) -> None:
    """Not as fast as it goes: what the old master took last and nobody has is lost."""
    for _ in range(count):
        await load.add(NAP)
        await asyncio.sleep(0.1)
