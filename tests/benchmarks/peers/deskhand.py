"""deskhand's enqueuing side: its own pool, or (variant `stock`) ARQ's pool that writes JSON."""

from collections.abc import Sequence

from arq import create_pool as create_stock_pool
from arq.connections import ArqRedis, RedisSettings
from typing_extensions import override

from tests.benchmarks import work
from tests.benchmarks.client import Client, chunks, main
from tests.benchmarks.peers.deskhand_job import run_job
from worker.codec import dumps, loads
from worker.enqueuer import Pool, create_pool


class Deskhand(Client):
    @override
    async def open(self) -> None:
        self.pool: Pool = await create_pool(work.REDIS_URL)

    @override
    async def close(self) -> None:
        await self.pool.aclose()

    @override
    async def one(self, number: int) -> None:
        await self.pool.enqueue_job(run_job.name, number=number)

    @override
    async def bulk(self, numbers: Sequence[int]) -> None:
        for chunk in chunks(numbers, 20_000):
            await self.pool.enqueue_many(run_job.name, [{"number": number} for number in chunk])


class StockPool(Client):
    """A stock pool that enqueues to deskhand."""

    @override
    async def open(self) -> None:
        settings = RedisSettings.from_dsn(work.REDIS_URL)
        self.pool: ArqRedis = await create_stock_pool(
            settings, job_serializer=dumps, job_deserializer=loads
        )

    @override
    async def close(self) -> None:
        await self.pool.aclose()

    @override
    async def one(self, number: int) -> None:
        await self.pool.enqueue_job(run_job.name, number=number)


if __name__ == "__main__":
    main(StockPool() if work.VARIANT == "stock" else Deskhand())
