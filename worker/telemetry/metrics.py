"""Metrics of this process for Prometheus, in a registry of its own.

Labels are closed sets or bounded ones, never ids, addresses or tenants. `worker_queue_size` and
`worker_cron_…` are the whole cluster's and every replica tells them: aggregate them with `max by
(queue, state)` or `max by (cron)`, not `sum`.
"""

import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, Protocol, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    exposition,
)
from prometheus_client.openmetrics import exposition as openmetrics
from typing_extensions import override

from jobs.kit.queue import QUEUES
from jobs.kit.sending import Meter
from worker import __version__
from worker.telemetry.bounded import Bounded
from worker.telemetry.cron_metrics import CronMetrics
from worker.telemetry.notice_metrics import NoticeMetrics
from worker.telemetry.outcome_metrics import OutcomeMetrics

Status = Literal["success", "failed", "retried", "cancelled", "expired", "snoozed", "interrupted"]

UNKNOWN: Final = "_unknown"
# Seconds. 10 ms to 10 min, and whatever takes longer.
DURATIONS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
# Which endings tell how long a job takes: the others were stopped at any moment.
_OUTCOMES: Final[Mapping[str, str]] = {"success": "success", "failed": "error", "retried": "error"}
_MAX_TRACE_ID: Final = 64  # an exemplar holds 128 signs, with its name


class QueueSizes(Protocol):
    """Runs of one queue in the whole cluster: due, due later, being run."""

    @property
    def ready(self) -> int: ...

    @property
    def deferred(self) -> int: ...
    @property
    def blocked(self) -> int: ...

    @property
    def running(self) -> int: ...


class Metrics(Meter):
    """What this process counted. Every method may be called from any thread and never raises.

    `jobs` are the known (queue, function) pairs: their counters start at 0, so that the first
    failure is an increase. Other functions count as `_unknown`.

    active_jobs  by queue: attempts running in this process
    lease_lost   by queue: leases lost while running
    crons        what PostgreSQL says of schedules
    notices      what admins were told, and how many slots queues want
    """

    def __init__(self, jobs: Iterable[tuple[str, str]], *, version: str = __version__) -> None:
        # They double the series and nobody asks for them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left them out
        self.registry = CollectorRegistry()
        known = sorted(set(jobs))
        self._queues = {*QUEUES, *(queue for queue, _ in known)}
        self._functions = {function for _, function in known}
        self._bounded = Bounded()
        # Looking a child up by its labels costs more than counting, and runs are counted often.
        self._children: dict[tuple[str, str, Status], tuple[Counter, Histogram | None]] = {}
        ProcessCollector(registry=self.registry)
        Info("worker", "This process.", registry=self.registry).info(
            {"version": version, "python": platform.python_version()}
        )
        self._define_jobs()
        self._define_work()
        for queue, function in known:
            for status in get_args(Status):
                self._processed.labels(queue, function, status)
        for queue in sorted(self._queues):
            self.active_jobs.labels(queue)
            self.lease_lost.labels(queue)

    def _define_jobs(self) -> None:
        self._processed = Counter(
            "worker_jobs_processed",
            "Attempts that ended. `failed` is final: success + failed = runs.",
            ["queue", "function", "status"],
            registry=self.registry,
        )
        self._duration = Histogram(
            "worker_job_duration_seconds",
            "Run time of one attempt.",
            ["queue", "function", "outcome"],
            buckets=DURATIONS,
            registry=self.registry,
        )
        self.active_jobs = Gauge(
            "worker_active_jobs",
            "Attempts running in this process.",
            ["queue"],
            registry=self.registry,
        )
        self._queue_size = Gauge(
            "worker_queue_size",
            "Runs in the queue, in the whole cluster (aggregate with max).",
            ["queue", "state"],
            registry=self.registry,
        )
        self._dead_lettered = Counter(
            "worker_jobs_dead_lettered",
            "Runs given up on.",
            ["queue", "function", "reason"],
            registry=self.registry,
        )
        self.lease_lost = Counter(
            "worker_lease_lost",
            "Leases lost while running: another worker may have run the same.",
            ["queue"],
            registry=self.registry,
        )

    def _counter(self, name: str, meaning: str, labels: str) -> Counter:
        return Counter(name, meaning, labels.split(), registry=self.registry)

    def _define_work(self) -> None:
        self._emails = self._counter(
            "worker_emails_sent", "E-mails, by what became of them.", "provider template status"
        )
        self._texts = self._counter(
            "worker_sms_sent", "SMS, by what became of them.", "provider template status"
        )
        self._skipped = self._counter(
            "worker_messages_skipped",
            "Mails and SMS that nobody was to get, by why.",
            "channel template reason",
        )
        self._template_failures = self._counter(
            "worker_template_failures",
            "Messages in the product's words, because the tenant's template did not work.",
            "channel template",
        )
        self._syncs = self._counter(
            "worker_sync_operations",
            "Synchronisations with outside services.",
            "integration operation status",
        )
        self._sync_records = self._counter(
            "worker_sync_records",
            "Records that synchronisations added, updated, left unchanged.",
            "integration kind",
        )
        self._outbox = self._counter(
            "worker_outbox_rows", "Rows of the outbox, by what became of them.", "status"
        )
        for status in ("enqueued", "repeated", "failed", "again"):
            self._outbox.labels(status)
        self.notices = NoticeMetrics(self.registry)
        self._message_outcomes = OutcomeMetrics(self.registry)
        self.crons = CronMetrics()
        self.registry.register(self.crons)
        self._collect_errors = Counter(
            "worker_metrics_collect_errors",
            "Failures to collect what a scrape asks others for.",
            ["collector"],
            registry=self.registry,
        )
        for collector in ("cluster", "schedules"):
            self._collect_errors.labels(collector)

    def attempts_ended(
        self,
        *,
        queue: str,
        function: str,
        status: Status,
        seconds: Sequence[float],
        trace_id: str | None = None,
    ) -> None:
        """Count attempts that ended alike, and ran for so many `seconds` each.

        `trace_id` leads from the histogram to an example of such an attempt.
        """
        processed, duration = self._children_of(queue, function, status)
        processed.inc(len(seconds))
        if duration is not None:
            exemplar = {"trace_id": trace_id[:_MAX_TRACE_ID]} if trace_id else None
            for each in seconds:
                duration.observe(each, exemplar)

    def dead_lettered(self, *, queue: str, function: str, reason: str) -> None:
        """Count a run that was given up on."""
        known = self._bounded("reason", reason, most=20)
        self._dead_lettered.labels(self._queue(queue), self._function(function), known).inc()

    def _children_of(
        self, queue: str, function: str, status: Status
    ) -> tuple[Counter, Histogram | None]:
        queue, function = self._queue(queue), self._function(function)
        children = self._children.get((queue, function, status))
        if children is None:
            outcome = _OUTCOMES.get(status)
            children = self._children[queue, function, status] = (
                self._processed.labels(queue, function, status),
                self._duration.labels(queue, function, outcome) if outcome else None,
            )
        return children

    def set_queue_sizes(self, sizes: Mapping[str, QueueSizes]) -> None:
        """Set what the cluster's queues hold now."""
        for queue, size in sizes.items():
            for state in ("ready", "deferred", "blocked", "running"):
                self._queue_size.labels(self._queue(queue), state).set(getattr(size, state))

    def outbox(self, status: str, number: int) -> None:
        """Count rows of the outbox: enqueued, repeated (their run was there), failed, again."""
        self._outbox.labels(self._bounded("outbox status", status, most=10)).inc(number)

    def collect_failed(self, collector: str) -> None:
        """Count a failure to collect what a scrape asks others for."""
        self._collect_errors.labels(self._bounded("collector", collector, most=10)).inc()

    @override
    def email(self, *, provider: str, template: str, status: str) -> None:
        self._emails.labels(
            self._bounded("provider", provider, most=10),
            self._bounded("template", template, most=50),
            self._bounded("email status", status, most=10),
        ).inc()

    @override
    def sms(self, *, provider: str, template: str, status: str) -> None:
        self._texts.labels(
            self._bounded("provider", provider, most=10),
            self._bounded("template", template, most=50),
            self._bounded("sms status", status, most=10),
        ).inc()

    @override
    def webhook(self, *, target: str, status: str) -> None:
        self.notices.webhook(target=target, status=status)

    @override
    def outcome(self, *, provider: str, outcome: str) -> None:
        self._message_outcomes.outcome(provider=provider, outcome=outcome)

    @override
    def personalised(self, *, outcome: str) -> None:
        self._message_outcomes.personalised(outcome=outcome)

    @override
    def skipped(self, *, channel: str, template: str, reason: str) -> None:
        self._skipped.labels(
            self._bounded("channel", channel, most=5),
            self._bounded("template", template, most=50),
            self._bounded("skip reason", reason, most=20),
        ).inc()

    @override
    def template_failed(self, *, channel: str, template: str) -> None:
        self._template_failures.labels(
            self._bounded("channel", channel, most=5), self._bounded("template", template, most=50)
        ).inc()

    @override
    def sync(self, *, integration: str, operation: str, status: str, **records: int) -> None:
        integration = self._bounded("integration", integration, most=30)
        self._syncs.labels(
            integration,
            self._bounded("operation", operation, most=20),
            self._bounded("sync status", status, most=10),
        ).inc()
        for kind, count in records.items():
            kind_label = self._bounded("kind", kind, most=10)
            self._sync_records.labels(integration, kind_label).inc(max(0, count))

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """Everything as (body, content type): OpenMetrics if `accept` names it, else text."""
        if "application/openmetrics-text" in (accept or ""):
            body: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # as above
            return body, openmetrics.CONTENT_TYPE_LATEST
        return exposition.generate_latest(self.registry), exposition.CONTENT_TYPE_PLAIN_0_0_4

    def _queue(self, name: str) -> str:
        return name if name in self._queues else UNKNOWN

    def _function(self, name: str) -> str:
        return name if name in self._functions else UNKNOWN
