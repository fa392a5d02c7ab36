"""ARQ's own worker as a process: `python -m tests.worker.engine.defects.stock_app`.

STOCK_OPTIONS is a JSON object of ARQ's arguments; `lease` stands for what ARQ computes from the
longest timeout, in seconds; `codec` is one of CODECS.
"""

import json
import logging.config
import os
from typing import Any

from arq import Worker
from arq.connections import RedisSettings
from arq.logs import default_log_config

from tests.worker.engine.defects.defect_jobs import STOCK_FUNCTIONS
from worker.codec import dumps, loads


def dump_json(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode()


# ARQ's default, what its documentation shows, and what the product tells its users to give ARQ.
CODECS: dict[str, dict[str, Any]] = {
    "pickle": {},
    "json": {"job_serializer": dump_json, "job_deserializer": json.loads},
    "deskhand": {"job_serializer": dumps, "job_deserializer": loads},
}


def stock_worker(
    redis_url: str, *, lease: float | None = None, codec: str = "pickle", **options: Any
) -> Worker:
    """As anybody would build one, apart from a fast poll."""
    worker = Worker(
        STOCK_FUNCTIONS,
        **CODECS[codec],
        **{"redis_settings": RedisSettings.from_dsn(redis_url), "poll_delay": 0.05, **options},
    )
    if lease is not None:
        worker.in_progress_timeout_s = lease
    return worker


def main() -> None:
    options = json.loads(os.environ["STOCK_OPTIONS"])
    logging.config.dictConfig(default_log_config(verbose=False))
    stock_worker(os.environ["REDIS_URL"], **options).run()


if __name__ == "__main__":
    main()
