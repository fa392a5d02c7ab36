"""`arq tests.worker.app.WorkerSettings`: the real worker, with the testing jobs."""

from tests.worker import testing_jobs
from worker.main import WorkerSettings

__all__ = ["WorkerSettings", "testing_jobs"]
