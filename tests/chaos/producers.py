"""APIs that enqueue: our pool and ARQ's own, both through the proxy, until each run is accepted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import arq
from arq.connections import RedisSettings
from arq.jobs import Job, JobStatus
from redis.exceptions import RedisError

from jobs.kit import queue_key
from tests.chaos.orders import Order
from worker.codec import dumps, loads
from worker.enqueuer import create_pool

_ANSWER_WITHIN = 10  # seconds
_PAIRS = 4  # of producers, one with each pool
_AWAY = (RedisError, OSError, TimeoutError)

Send = Callable[[Order], Awaitable[object]]


@dataclass
class Accepted:
    """Which runs Redis has taken on; `retries` counts the calls whose answer nobody heard."""

    orders: dict[str, Order] = field(default_factory=dict)
    retries: int = 0


async def produce(
    port: int, orders: Sequence[Order], accepted: Accepted, *, seconds: float
) -> None:
    """Enqueue all orders evenly over `seconds`: half with our pool, half with a stock one."""
    async with AsyncExitStack() as stack:
        ours = await _until_connected(lambda: create_pool(f"redis://127.0.0.1:{port}"))
        stack.push_async_callback(ours.aclose)
        settings = RedisSettings(host="127.0.0.1", port=port)
        stock = await _until_connected(
            lambda: arq.create_pool(settings, job_serializer=dumps, job_deserializer=loads)
        )
        stack.push_async_callback(stock.aclose)

        async def with_ours(order: Order) -> object:
            return await ours.enqueue_job(order.kind.job.name, order.payload, _job_id=order.run_id)

        async def with_stock(order: Order) -> object:
            queue = queue_key(order.kind.job.queue)
            run = await stock.enqueue_job(
                order.kind.job.name, order.payload, _job_id=order.run_id, _queue_name=queue
            )
            if run is None:
                await _require_it_is_there(Job(order.run_id, stock, queue, loads))
            return run

        senders = [with_ours, with_stock] * _PAIRS
        shares = [orders[number :: len(senders)] for number in range(len(senders))]
        await asyncio.gather(
            *(
                _send_evenly(send, share, accepted, seconds=seconds)
                for send, share in zip(senders, shares, strict=True)
            )
        )


async def _send_evenly(
    send: Send, orders: Sequence[Order], accepted: Accepted, *, seconds: float
) -> None:
    """Whoever is late catches up."""
    began = time.monotonic()
    for number, order in enumerate(orders):
        await asyncio.sleep(began + seconds * number / len(orders) - time.monotonic())
        await _insist(send, order, accepted)


async def _insist(send: Send, order: Order, accepted: Accepted) -> None:
    """Try again with the same id until there is an answer.

    "There is such a run already" is an acceptance too: an earlier call of ours was heard.
    """
    while True:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                await send(order)
        except _AWAY:
            accepted.retries += 1
            await asyncio.sleep(0.1)
        else:
            accepted.orders[order.run_id] = order
            return


async def _require_it_is_there(run: Job) -> None:
    """Raises ConnectionError. ARQ's "duplicate" may be a connection that broke while it watched."""
    if await run.status() is JobStatus.not_found:
        raise ConnectionError(f"{run.job_id} was not enqueued")


async def _until_connected(connect: Callable[[], Awaitable[arq.ArqRedis]]) -> arq.ArqRedis:
    while True:
        with suppress(*_AWAY):
            return await connect()
        await asyncio.sleep(0.1)
