"""streaQ on uvloop."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from streaq import Worker
from typing_extensions import override

from tests.benchmarks import work
from tests.benchmarks.client import Client, chunks, main


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    work.ready()
    yield


worker: Any = Worker(
    redis_url=work.REDIS_URL,
    concurrency=work.SLOTS,
    lifespan=lifespan,
    anyio_kwargs={"use_uvloop": True},
)


async def _run_job(number: int) -> None:
    await work.work(number)


run_job: Any = worker.task(name="run_job")(_run_job)


class Streaq(Client):
    @override
    async def open(self) -> None:
        await worker.__aenter__()

    @override
    async def close(self) -> None:
        await worker.__aexit__(None, None, None)

    @override
    async def one(self, number: int) -> None:
        await run_job.enqueue(number)

    @override
    async def bulk(self, numbers: Sequence[int]) -> None:
        for chunk in chunks(numbers):
            await worker.enqueue_many([run_job.enqueue(number) for number in chunk])


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        worker.run_sync()
    else:
        main(Streaq())
