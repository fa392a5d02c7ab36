"""The table of jobs, for the README and `deskhand jobs`: made from the declarations."""

from typing import Any

from jobs.kit import QUEUES, Cron, Every, Job, OnDemand, Schedule, Setting, all_jobs

_HEAD = ("job", "queue", "attempts", "timeout", "idempotency key", "schedule", "aliases")


def job_table() -> str:
    """A Markdown table, one row per job."""
    rows = [_HEAD, tuple("---" for _ in _HEAD), *(_row(job) for job in all_jobs())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(job: Job[Any, Any]) -> tuple[str, ...]:
    retry = job.retry or QUEUES[job.queue].retry
    return (
        f"`{job.name}`",
        job.queue,
        str(retry.attempts),
        f"{job.timeout.total_seconds():g} s",
        f"`{job.idempotency_key}`" if job.idempotency_key else "",
        "" if job.schedule is None else f"`{when(job.schedule)}`",
        ", ".join(f"`{alias}`" for alias in job.aliases),
    )


def when(schedule: Schedule) -> str:
    """As it was declared: `0 9 * * *`, `every 300 s`, `on demand`; settings by their names."""
    match schedule:
        case Cron():
            zone = "" if schedule.tz is None else f" {_said(schedule.tz)}"
            return f"{_said(schedule.line)}{zone}"
        case Every():
            return f"every {_said(schedule.seconds)} s"
        case OnDemand():
            return "on demand"


def _said(value: object) -> str:
    return value.name if isinstance(value, Setting) else f"{value}"
