"""Metrics for those who look after the workers: notices, and how many slots queues want.

`worker_queue_wanted_slots` is the whole cluster's and every replica tells it: aggregate it with
`max by (queue)`.
"""

from collections.abc import Mapping
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from jobs.kit.queue import QUEUES
from worker.notices.notice import Change, Kind

_STATUSES: Final = ("sent", "failed", "rejected")
_IN_DOUBT: Final = ("unconfirmed", "doubtful")
_OTHER: Final = "_other"


class NoticeMetrics:
    """Every method may be called from any thread and never raises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._notices = Counter(
            "worker_notices",
            "Notices to admins, by what became of the trouble.",
            ["kind", "change"],
            registry=registry,
        )
        for kind in get_args(Kind):
            for change in get_args(Change):
                self._notices.labels(kind, change)
        self._webhooks = Counter(
            "worker_webhook_deliveries",
            "Webhooks, by what became of them.",
            ["target", "status"],
            registry=registry,
        )
        for status in _STATUSES:
            self._webhooks.labels("notices", status)
        self._wanted = Gauge(
            "worker_queue_wanted_slots",
            "Slots in which what waits would start within SLOTS_TARGET seconds (aggregate with"
            " max).",
            ["queue"],
            registry=registry,
        )
        self._slots = Gauge(
            "worker_concurrency_limit",
            "Runs of the queue that this process runs at once; 0 where it does not serve it.",
            ["queue"],
            registry=registry,
        )

    def told(self, kind: str, change: str) -> None:
        """Count what admins were told."""
        self._notices.labels(kind, change).inc()

    def webhook(self, *, target: str, status: str) -> None:
        """Count a webhook."""
        known = (
            status if status in {*_STATUSES, "suppressed", "unconfirmed", "doubtful"} else _OTHER
        )
        self._webhooks.labels(target, known).inc()

    def set_slots(self, slots: Mapping[str, int]) -> None:
        """Set what this process serves."""
        for queue in QUEUES:
            self._slots.labels(queue).set(slots.get(queue, 0))

    def set_wanted(self, wanted: Mapping[str, float]) -> None:
        """Set how many slots each queue of the cluster wants now."""
        for queue, slots in wanted.items():
            if queue in QUEUES:
                self._wanted.labels(queue).set(slots)
