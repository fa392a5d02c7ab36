"""PgQueuer on uvloop: PostgreSQL alone, no Redis.

No-op jobs without a limit of slots, which it is faster without; jobs that sleep with theirs.
"""

import sys
from collections.abc import Sequence
from typing import Any

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, PgQueuer, Queries
from typing_extensions import override

from tests.benchmarks import work
from tests.benchmarks.client import Client, chunks, main

_NAME = "run_job"


class PgQueuerClient(Client):
    @override
    async def open(self) -> None:
        self.connection: Any = await asyncpg.connect(work.DATABASE_URL)
        self.queries: Any = Queries(AsyncpgDriver(self.connection))

    @override
    async def close(self) -> None:
        await self.connection.close()

    @override
    async def one(self, number: int) -> None:
        await self.queries.enqueue(_NAME, b"%d" % number)

    @override
    async def bulk(self, numbers: Sequence[int]) -> None:
        for chunk in chunks(numbers):
            payloads = [b"%d" % number for number in chunk]
            await self.queries.enqueue([_NAME] * len(chunk), payloads, [0] * len(chunk))

    @override
    async def install(self) -> None:
        await self.queries.install()


async def run_job(job: Any) -> None:
    await work.work(int(job.payload))


async def serve() -> None:
    connection = await asyncpg.connect(work.DATABASE_URL)
    runner: Any = PgQueuer(AsyncpgDriver(connection))
    runner.entrypoint(_NAME)(run_job)
    work.ready()
    if work.SECONDS:  # a batch is at most half of the slots
        await runner.run(batch_size=work.SLOTS // 2, max_concurrent_tasks=work.SLOTS)
    else:
        await runner.run(batch_size=500)


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        uvloop.run(serve())
    else:
        main(PgQueuerClient())
