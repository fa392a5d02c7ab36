"""`arq tests.worker.trouble_app.WorkerSettings`: the real worker, with the jobs that make trouble.

The other settings classes make it themselves. ARQ reads only what stands in the class itself.
"""

import asyncio
from pathlib import Path
from typing import Any

from tests.worker import trouble_jobs
from tests.worker.controls import jobs as controlled_jobs
from worker.main import WorkerSettings
from worker.runtime import startup

__all__ = ["BreakingSettings", "HookSettings", "WorkerSettings", "controlled_jobs", "trouble_jobs"]

CANARY = "kanarya-5e21"


async def leave(ctx: dict[str, Any]) -> None:
    raise SystemExit(f"hook of {ctx['job_name']}")


async def start_to_break(ctx: dict[str, Any]) -> None:
    """As soon as there is such a file in VAR_DIR, the worker's own loop or its pump breaks."""
    await startup(ctx)
    health, folder = ctx["runtime"].health, Path(ctx["settings"].var_dir)
    beat = health.heartbeat

    def heartbeat() -> None:
        if (folder / "break-loop").exists():
            secret = f"password={CANARY} of ayse.isik@anadolu.example"
            raise RuntimeError(f"the loop broke: {secret}")
        for name in ("pump", "second lane"):
            if (folder / f"break-{name}").exists():
                # Nothing else ends it: it catches what it meets.
                for task in asyncio.all_tasks():
                    if task.get_name() == name:
                        task.cancel()
        beat()

    health.heartbeat = heartbeat


_shared = {name: value for name, value in vars(WorkerSettings).items() if name[:2] != "__"}

HookSettings = type(
    "HookSettings",
    (),
    {**_shared, "on_job_start": leave, "on_job_end": leave, "after_job_end": leave},
)
BreakingSettings = type("BreakingSettings", (), {**_shared, "on_startup": start_to_break})
