"""taskiq's enqueuing side."""

from collections.abc import Sequence
from uuid import uuid4

from redis.asyncio import Redis
from taskiq import TaskiqMessage
from typing_extensions import override

from tests.benchmarks import work
from tests.benchmarks.client import Client, chunks, main
from tests.benchmarks.peers.taskiq_app import broker, run_job


class Taskiq(Client):
    @override
    async def open(self) -> None:
        await broker.startup()

    @override
    async def close(self) -> None:
        await broker.shutdown()

    @override
    async def one(self, number: int) -> None:
        await run_job.kiq(number)

    @override
    async def fill(self, numbers: Sequence[int]) -> None:
        """What `kiq` writes, many in one round trip."""
        async with Redis.from_url(work.REDIS_URL) as redis:
            for chunk in chunks(numbers):
                async with redis.pipeline(transaction=False) as pipe:
                    for number in chunk:
                        message = TaskiqMessage(
                            task_id=uuid4().hex,
                            task_name=run_job.task_name,
                            labels={},
                            labels_types={},
                            args=[number],
                            kwargs={},
                        )
                        data = broker.formatter.dumps(message).message
                        pipe.xadd(broker.queue_name, {b"data": data})
                    await pipe.execute()


if __name__ == "__main__":
    main(Taskiq())
