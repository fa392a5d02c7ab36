"""Metrics of schedules, as PostgreSQL has them: a restart of the workers sets none to zero.

They are the whole cluster's and every replica tells them: aggregate with `max by (cron)`, not
`sum`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

_WHOLE = "of the whole cluster (aggregate with max)."
_INSTANTS = {
    "last_success": "When a run of the schedule ended well",
    "last_run": "When it fired, or somebody started it",
    "next_run": "When it is due next",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CronFigures:
    """A schedule by the name of its job, or all of those that people set up, as `_report`.

    enabled   how many of them fire by themselves
    interval  the longest time between two of its next ticks
    missed    ticks that never fired
    """

    cron: str
    enabled: int
    succeeded: int
    failed: int
    missed: int
    last_success_at: datetime | None
    last_run_at: datetime | None
    next_run_at: datetime | None
    interval: timedelta | None


class CronMetrics(Collector):
    """Tells what it was given last; nothing before. From any thread."""

    def __init__(self) -> None:
        self._figures: Sequence[CronFigures] = ()

    def set(self, figures: Sequence[CronFigures]) -> None:
        self._figures = figures

    @override
    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        for name, what in _INSTANTS.items():
            instants = {one.cron: getattr(one, f"{name}_at") for one in figures}
            yield _gauge(
                f"{name}_timestamp_seconds",
                f"{what}, {_WHOLE}",
                {cron: at.timestamp() for cron, at in instants.items() if at is not None},
            )
        yield _gauge(
            "interval_seconds",
            f"The longest time between its next ticks, {_WHOLE}",
            {one.cron: one.interval.total_seconds() for one in figures if one.interval is not None},
        )
        yield _gauge(
            "enabled",
            f"Does it fire by itself? Of _report: how many do, {_WHOLE}",
            {one.cron: one.enabled for one in figures},
        )
        runs = CounterMetricFamily(
            "worker_cron_runs", f"Scheduled runs that ended, {_WHOLE}", labels=["cron", "status"]
        )
        missed = CounterMetricFamily(
            "worker_cron_missed", f"Ticks that never fired, {_WHOLE}", labels=["cron"]
        )
        for one in figures:
            runs.add_metric([one.cron, "success"], one.succeeded)
            runs.add_metric([one.cron, "failed"], one.failed)
            missed.add_metric([one.cron], one.missed)
        yield runs
        yield missed


def _gauge(name: str, help_: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"worker_cron_{name}", help_, labels=["cron"])
    for cron, value in values.items():
        family.add_metric([cron], value)
    return family
