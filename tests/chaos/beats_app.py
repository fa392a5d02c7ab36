"""`arq tests.chaos.beats_app.WorkerSettings`: the real worker, with twenty schedules."""

from tests.chaos import beats
from tests.chaos.app import WorkerSettings

__all__ = ["WorkerSettings", "beats"]
