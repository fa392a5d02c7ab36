"""`arq worker.main.WorkerSettings`: ARQ's own command runs deskhand's worker.

ARQ builds whatever `arq.worker.Worker` names, from the attributes of the settings class. ARQ is
frozen in maintenance mode and pinned here, so putting our worker in that place is safe; a guard
below says so should the place ever move.
"""

import sys

import arq
import arq.worker

from jobs.kit import all_jobs
from worker.codec import dumps, loads
from worker.engine.worker import Worker
from worker.lifespan import arq_function
from worker.redis_pool import arq_settings
from worker.runtime import shutdown, startup
from worker.schedules import Plan, plans_of
from worker.schedules.cron_job import cron_jobs
from worker.settings import Settings, SettingsError, load_settings


def _settings() -> tuple[Settings, dict[str, Plan]]:
    try:
        settings = load_settings()
        return settings, plans_of(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(78)  # EX_CONFIG of sysexits.h, as `deskhand` exits


if not arq.VERSION.startswith("0.28."):
    sys.exit(f"deskhand runs on arq 0.28, this is {arq.VERSION}: pip install 'arq>=0.28,<0.29'")

arq.worker.Worker = Worker  # type: ignore[misc,assignment]  # the seam


_SETTINGS, _PLANS = _settings()


class WorkerSettings:
    """Every declared job, on all the queues that WORKER_QUEUES names."""

    settings = _SETTINGS
    functions = [arq_function(job) for job in all_jobs()]  # noqa: RUF012 - ARQ reads a list
    cron_jobs = cron_jobs(_PLANS)
    on_startup = startup
    on_shutdown = shutdown
    queue_name = settings.queues()[settings.worker_queues[0]].key  # for `arq --check`
    redis_settings = arq_settings(settings.redis_dsn)
    job_serializer = dumps
    job_deserializer = loads
    poll_delay = 0.1
    allow_abort_jobs = True
