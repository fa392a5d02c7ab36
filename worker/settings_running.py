"""Settings of how runs are run, and of how long they are remembered."""

from typing import Literal

from pydantic import BaseModel, Field, PositiveInt

from jobs.kit import QUEUES, Exponential, Queue, Retry
from worker.settings_types import (
    Days,
    DaysOfMessages,
    KeptRuns,
    Lease,
    PerQueueInt,
    PerQueueSeconds,
    QueueNames,
    Seconds,
)

MOST_PROCESSES = 64


class RunningSettings(BaseModel):
    """Queues, leases, waits."""

    processes: PositiveInt = Field(
        1,
        le=MOST_PROCESSES,
        description="Worker processes that `deskhand run` starts, for more than one core.",
    )
    worker_queues: QueueNames = Field(
        tuple(QUEUES), description="Queues that this process serves, separated by commas."
    )
    queue_concurrency: PerQueueInt = Field(
        default_factory=dict, description='Runs at once, per process: {"document": 8}.'
    )
    queue_attempts: PerQueueInt = Field(
        default_factory=dict, description='Attempts, for jobs without their own: {"email": 4}.'
    )
    queue_backoff: PerQueueSeconds = Field(
        default_factory=dict, description='Seconds before the first retry: {"sync": 10}.'
    )
    run_lease: Lease = Field(
        30, description="Seconds after which a crashed worker's runs start elsewhere."
    )
    start_timeout: Seconds = Field(
        30, description="Seconds that Redis and PostgreSQL may take to come up."
    )
    shutdown_grace: Seconds = Field(
        25, description="Seconds that running jobs get to finish after SIGTERM."
    )
    unknown_job_grace: Seconds = Field(
        600, description="Seconds that a run waits for a worker that knows its job."
    )
    arq_accept_pickle: Literal["never", "restricted"] = Field(
        "never", description="'restricted' reads pickled payloads of builtins from stock ARQ pools."
    )

    def queues(self) -> dict[str, Queue]:
        """All queues, as these settings shape them; `worker_queues` says which are served."""
        return {name: self._shaped(queue) for name, queue in QUEUES.items()}

    def _shaped(self, queue: Queue) -> Queue:
        retry, first = queue.retry, self.queue_backoff.get(queue.name)
        return Queue(
            queue.name,
            self.queue_concurrency.get(queue.name, queue.concurrency),
            Retry(
                attempts=self.queue_attempts.get(queue.name, retry.attempts),
                backoff=retry.backoff if first is None else Exponential(first=first),
            ),
        )


class HistorySettings(BaseModel):
    """What PostgreSQL keeps of runs that are over."""

    keep_completed: KeptRuns = Field(
        100,
        description="So many completed (also cancelled, expired) runs are kept of each queue.",
    )
    keep_failed: KeptRuns = Field(
        500, description="So many dead runs, and so many dead letters, are kept of each queue."
    )
    keep_days: Days = Field(30, description="Days after which all that is over goes.")
    keep_messages_days: DaysOfMessages = Field(
        400,
        description="Days after which is forgotten what was sent to whom, who replied, and who is"
        " through a sequence; twice KEEP_DAYS at least.",
    )
    keep_unsubscribe_days: DaysOfMessages = Field(
        1095,
        description="Days for which people find a way out: the link in a mail to who is no user,"
        " and STOP as the answer to an SMS.",
    )
