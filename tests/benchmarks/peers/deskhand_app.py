"""`arq tests.benchmarks.peers.deskhand_app.WorkerSettings`: the real worker, with some jobs more.

Hooks are on and do nothing: what they cost is part of what is measured.
"""

from typing import Any

from tests.benchmarks import work
from tests.benchmarks.peers import controlled_jobs, http_job, mail_job
from tests.benchmarks.peers.deskhand_job import run_job
from worker.main import WorkerSettings as Shipped
from worker.runtime import startup

__all__ = ["WorkerSettings", "controlled_jobs", "http_job", "mail_job", "run_job"]


async def start(ctx: dict[Any, Any]) -> None:
    await startup(ctx)
    work.ready()


async def do_nothing(ctx: dict[Any, Any]) -> None:
    """A hook that costs what a call costs."""


# ARQ reads the class's own attributes, not inherited ones.
_shipped = {name: value for name, value in vars(Shipped).items() if not name.startswith("__")}
_hooks = dict.fromkeys(("on_job_start", "on_job_end", "after_job_end"), do_nothing)
WorkerSettings = type("WorkerSettings", (), {**_shipped, **_hooks, "on_startup": start})
