"""`arq …deskhand_app.WorkerSettings`: the real worker, with the jobs of these tests."""

from tests.worker.engine.defects import defect_jobs
from worker.main import WorkerSettings

__all__ = ["WorkerSettings", "defect_jobs"]
