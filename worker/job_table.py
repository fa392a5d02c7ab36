"""The table of jobs, for the README and `deskhand jobs`: made from the declarations."""

from typing import Any

from jobs.kit import QUEUES, Job, all_jobs

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
        f"`{job.schedule.line}`" if job.schedule else "",
        ", ".join(f"`{alias}`" for alias in job.aliases),
    )
