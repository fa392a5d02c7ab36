"""`taskiq worker tests.benchmarks.peers.taskiq_app:broker`, which runs on uvloop.

The stream broker, because it acknowledges: the list broker loses what a dead worker had. No result
backend, as it comes: it keeps no results, which the others do.
"""

from typing import Any

from taskiq import TaskiqEvents
from taskiq_redis import RedisStreamBroker

from tests.benchmarks import work

broker: Any = RedisStreamBroker(
    work.REDIS_URL, consumer_id="0", unacknowledged_lock_timeout=10, socket_timeout=None
)


async def _run_job(number: int) -> None:
    await work.work(number)


async def _start(state: Any) -> None:
    work.ready()


run_job: Any = broker.register_task(_run_job, task_name="run_job")
broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, _start)
