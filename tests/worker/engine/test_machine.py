"""In whatever order things happen, no run is lost, given to two, or ended twice."""

import pytest
from redis import Redis

from tests.worker.engine.machine import search
from worker.redis_pool import open_redis_for_thread


@pytest.mark.timeout(300)  # some seconds; a failure takes its time to become small
def test_the_scripts_do_as_the_model_says(redis_url: str) -> None:
    redis: Redis = open_redis_for_thread(redis_url)
    try:
        search(redis, examples=150, steps=40)
    finally:
        redis.close()
