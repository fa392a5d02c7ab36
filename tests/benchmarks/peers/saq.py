"""SAQ on uvloop: 100 loops that each fetch, run and finish.

Without redis-py's timeout of 5 s, which its blocking fetch would run into.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import uvloop
from redis.asyncio import Redis
from saq import Job, Worker
from saq.queue.redis import RedisQueue
from saq.utils import now
from typing_extensions import override

from tests.benchmarks import work
from tests.benchmarks.client import Client, chunks, main

_NAME = "run_job"


def open_queue() -> Any:
    return RedisQueue(Redis.from_url(work.REDIS_URL, socket_timeout=None))


class Saq(Client):
    @override
    async def open(self) -> None:
        self.queue = open_queue()

    @override
    async def close(self) -> None:
        await self.queue.disconnect()

    @override
    async def one(self, number: int) -> None:
        await self.queue.enqueue(_NAME, number=number)

    @override
    async def fill(self, numbers: Sequence[int]) -> None:
        """What `enqueue` writes, many in one round trip."""
        queue = self.queue
        for chunk in chunks(numbers):
            async with queue.redis.pipeline(transaction=False) as pipe:
                for number in chunk:
                    job = Job(_NAME, {"number": number}, queue, key=uuid4().hex, queued=now())
                    job.status = "queued"
                    pipe.set(job.id, queue.serialize(job))
                    pipe.zadd(queue.namespace("incomplete"), {job.id: 0})
                    pipe.rpush(queue.namespace("queued"), job.id)
                await pipe.execute()


async def run_job(ctx: Any, *, number: int) -> None:
    await work.work(number)


async def start(ctx: Any) -> None:
    work.ready()


async def serve() -> None:
    worker = Worker(open_queue(), [(_NAME, run_job)], concurrency=work.SLOTS, startup=start)
    await worker.start()


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        uvloop.install()
        asyncio.run(serve())
    else:
        main(Saq())
