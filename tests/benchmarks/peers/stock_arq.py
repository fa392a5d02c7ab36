"""Stock ARQ: its pool, and with `worker` its worker.

As it comes, or (variant `tuned`) at its best: uvloop, a poll each 10 ms, ten ids for each slot, no
logging. Variant `logged` is `tuned` with ARQ's own log lines at INFO.
"""

import logging.config
import sys
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import uvloop
from arq import create_pool, func, run_worker
from arq.connections import ArqRedis, RedisSettings
from arq.constants import default_queue_name, job_key_prefix
from arq.jobs import serialize_job
from arq.logs import default_log_config
from arq.utils import timestamp_ms
from typing_extensions import override

from tests.benchmarks import work
from tests.benchmarks.client import Client, chunks, main

_NAME = "run_job"
_REDIS = RedisSettings.from_dsn(work.REDIS_URL or "redis://localhost")
_DAY_MS = 86_400_000


class StockArq(Client):
    @override
    async def open(self) -> None:
        self.pool: ArqRedis = await create_pool(_REDIS)

    @override
    async def close(self) -> None:
        await self.pool.aclose()

    @override
    async def one(self, number: int) -> None:
        await self.pool.enqueue_job(_NAME, number=number)

    @override
    async def fill(self, numbers: Sequence[int]) -> None:
        """What `enqueue_job` writes, without its watching for a taken id."""
        for chunk in chunks(numbers):
            now = timestamp_ms()
            scores = {uuid4().hex: now for _ in chunk}
            async with self.pool.pipeline(transaction=False) as pipe:
                for run_id, number in zip(scores, chunk, strict=True):
                    payload = serialize_job(_NAME, (), {"number": number}, None, now)
                    pipe.psetex(job_key_prefix + run_id, _DAY_MS, payload)
                pipe.zadd(default_queue_name, scores)
                await pipe.execute()


async def run_job(ctx: dict[Any, Any], *, number: int) -> None:
    await work.work(number)


async def start(ctx: dict[Any, Any]) -> None:
    work.ready()


def serve() -> None:
    """Run the worker until a signal."""
    settings: dict[str, Any] = {
        "functions": [func(run_job, name=_NAME)],
        "redis_settings": _REDIS,
        "on_startup": start,
        "max_jobs": work.SLOTS,
    }
    if work.VARIANT != "tuned":
        logging.config.dictConfig(default_log_config(verbose=False))
    if work.VARIANT in ("tuned", "logged"):
        uvloop.install()
        settings |= {"poll_delay": 0.01, "queue_read_limit": 10 * work.SLOTS}
    run_worker(type("WorkerSettings", (), settings))


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["worker"] else main(StockArq())
