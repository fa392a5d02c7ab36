"""Schedules as ARQ knows them, for whoever looks at `WorkerSettings.cron_jobs`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from arq.cron import CronJob
from typing_extensions import override

from jobs.kit import Job, discover
from worker.lifespan import arq_function
from worker.schedules.plan import Plan


@dataclass
class TickCronJob(CronJob):
    """A cron job whose ticks are the plan's. It does not fire by itself: ARQ's way fires a tick
    twice, or not at all (D37 to D42); `Scheduler` does it.
    """

    plan: Plan | None = None
    anchor: datetime | None = None

    @override
    def calculate_next(self, prev_run: datetime) -> None:
        """The first tick later than `prev_run` (aware)."""
        if self.plan is None:
            self.next_run = None
            return
        self.anchor = self.anchor or prev_run.astimezone(UTC)
        self.next_run = self.plan.next_after(prev_run, anchor=self.anchor)


def cron_jobs(plans: Mapping[str, Plan]) -> list[CronJob]:
    """One for each plan, by its job's name."""
    known = discover()
    return [_cron_job(known[name], plan) for name, plan in plans.items()]


def _cron_job(job: Job[Any, Any], plan: Plan) -> TickCronJob:
    function = arq_function(job)
    return TickCronJob(
        name=f"cron:{job.name}",  # ARQ keeps it beside the functions: it may not have their names
        coroutine=function.coroutine,
        month=None,
        day=None,
        weekday=None,
        hour=None,
        minute=None,
        second=None,
        microsecond=0,
        run_at_startup=False,
        unique=True,
        job_id=None,
        timeout_s=function.timeout_s,
        keep_result_s=function.keep_result_s,
        keep_result_forever=function.keep_result_forever,
        max_tries=function.max_tries,
        plan=plan,
    )
