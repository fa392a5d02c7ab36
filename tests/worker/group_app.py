"""`python -m tests.worker.group_app …`: `deskhand`, with the jobs that make trouble."""

import sys

from tests.worker import trouble_jobs
from worker.cli import group, main

__all__ = ["trouble_jobs"]

if __name__ == "__main__":
    group.PROGRAM = (sys.executable, "-m", "tests.worker.group_app")
    main()
