"""`arq tests.chaos.app.WorkerSettings`: the real worker, with the jobs of this suite."""

import ctypes
import signal
import sys

from tests.chaos import plays
from worker.main import WorkerSettings

__all__ = ["WorkerSettings", "plays"]

_PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    # A driver that is killed leaves no worker behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
