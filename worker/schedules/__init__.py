"""Time-driven work: what jobs declare with `schedule=`, and what people set up.

PostgreSQL keeps when each schedule is due next. Any worker that finds one due puts its run into the
outbox and moves that instant on, in one transaction: so a tick fires once, whoever is killed.
"""

from worker.schedules.changing import (
    GoingOnError,
    Started,
    UnknownScheduleError,
    declare,
    pause,
    resume,
    run_now,
)
from worker.schedules.declared import plans_of
from worker.schedules.plan import Plan
from worker.schedules.scheduler import Scheduler

__all__ = [
    "GoingOnError",
    "Plan",
    "Scheduler",
    "Started",
    "UnknownScheduleError",
    "declare",
    "pause",
    "plans_of",
    "resume",
    "run_now",
]
