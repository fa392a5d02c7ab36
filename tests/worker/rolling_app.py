"""`arq tests.worker.rolling_app.WorkerSettings`: the real worker, with one version's jobs.

As a program it is an API of that version: `python -m tests.worker.rolling_app <marks> <first
number> <count>`.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

from tests.worker import rolling_jobs
from worker.enqueuer import create_pool
from worker.main import WorkerSettings

__all__ = ["WorkerSettings"]


async def serve(marks: str, numbers: Sequence[int]) -> None:
    """Enqueue for some seconds: of each number a bill, under this version's name and fields."""
    pool = await create_pool()
    begun = time.monotonic()
    for position, number in enumerate(numbers):
        bill = {"marks": marks, "number": number}
        if rolling_jobs.IS_NEW:
            await pool.enqueue_job("rolling.charge_customer", {**bill, "note": "noted"})
            if position % 10 == 0:
                await pool.enqueue_job("rolling.thank_customer", {**bill, "number": -number})
        else:
            await pool.enqueue_job("rolling.bill_customer", bill)
        await asyncio.sleep(max(0, begun + position * 0.025 - time.monotonic()))
    await pool.aclose()


if __name__ == "__main__":
    path, first, count = sys.argv[1:]
    mine = range(int(first), int(first) + int(count))
    shared = range(1, int(count) + 1)
    asyncio.run(serve(path, [number for pair in zip(shared, mine, strict=True) for number in pair]))
