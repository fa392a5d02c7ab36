"""Periodic workers: scheduled jobs that people start and watch by a name of their own."""

import re
from typing import Any, Final

from jobs.kit import Job, all_jobs

# Those that existing clients ask for, also of a version that has no job for them.
ASKED_FOR: Final = (
    "AppointmentReminderWorker",
    "FinancialExportWorker",
    "StockReconciliationWorker",
)
_WORD = re.compile(r"[A-Z][a-z0-9]*")


def periodic_jobs() -> dict[str, Job[Any, Any] | None]:
    """By the workers' names; None where this version has no such job."""
    declared = {job.worker: job for job in all_jobs() if job.worker is not None}
    return {name: declared.get(name) for name in sorted({*ASKED_FOR, *declared})}


def slug_of(worker: str) -> str:
    """`AppointmentReminderWorker` is `appointment-reminder` in a path."""
    return "-".join(_WORD.findall(worker.removesuffix("Worker"))).lower()
