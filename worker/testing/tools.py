"""What a job may touch in a test: a worker's own resources, as far as they were given."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from structlog.testing import LogCapture
from structlog.typing import FilteringBoundLogger
from typing_extensions import override

from jobs.kit import Enqueued, Job, Payload, Run
from jobs.kit.sending import Mailer, Texter
from worker.deliveries.throttling import Pause, no_pause
from worker.lifespan import Resources
from worker.message import run_id_of
from worker.testing.captured import (
    Memory,
    MemoryMailer,
    MemoryTexter,
    NotGiven,
    Outbox,
    TextOutbox,
)
from worker.testing.enqueued import Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class RigResources(Resources):
    """Without a database mails are remembered in memory, without a pool enqueues are."""

    outbox: Outbox
    text_outbox: TextOutbox
    logs: LogCapture = field(default_factory=LogCapture)
    waiting: list[Waiting] = field(default_factory=list)
    sent: dict[tuple[Any, ...], str] = field(default_factory=dict)

    @override
    def log_of(self, run: Run) -> FilteringBoundLogger:
        logger: FilteringBoundLogger = structlog.wrap_logger(
            None,
            processors=[self.logs],
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
            run_id=run.run_id,
            job=run.job,
            attempt=run.attempt,
        )
        return logger

    @override
    def mailer_of(self, run: Run) -> Mailer:
        if isinstance(self.db, NotGiven):
            return MemoryMailer(Memory(run, self.db, self.sent), self.outbox)
        return Resources.mailer_of(self, run)

    @override
    def pause_of(self, run: Run, channel: str) -> Pause:
        return (
            no_pause if isinstance(self.pool, NotGiven) else Resources.pause_of(self, run, channel)
        )

    @override
    def texter_of(self, run: Run) -> Texter:
        if isinstance(self.db, NotGiven):
            return MemoryTexter(Memory(run, self.db, self.sent), self.text_outbox)
        return Resources.texter_of(self, run)

    @override
    async def enqueue(
        self,
        run: Run,
        job: Job[Any, Any],
        payload: Payload,
        *,
        delay: timedelta | None = None,
        **options: Any,
    ) -> Enqueued:
        if not isinstance(self.pool, NotGiven):
            return await Resources.enqueue(self, run, job, payload, delay=delay, **options)
        checked = job.validate(payload)
        run_id = run_id_of(job, checked)
        if any(one.run_id == run_id for one in self.waiting):
            return Enqueued(run_id, is_new=False)
        due_at = self.clock() + (delay or timedelta(0))
        headers = {"cid": run.correlation_id}
        fields = checked.model_dump(mode="json")
        self.waiting.append(Waiting(run_id, job.name, job.queue, fields, due_at, headers))
        return Enqueued(run_id, is_new=True)


def given(value: Any, name: str, notice: Callable[[Any], None]) -> Any:
    """The value, or what says that it is missing."""
    return NotGiven(name, notice) if value is None else value
