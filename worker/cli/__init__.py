"""`deskhand …`: run the worker, migrate, enqueue, cancel, look at queues, rates, runs, schedules,
outbox, events, notices and messages in doubt, look after dead letters and suppressions, prune,
check settings, make passwords, preview messages.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 a service is away, 78 settings,
130 stopped by Ctrl-C.
"""

import click

from worker import __version__
from worker.cli.config import config
from worker.cli.dead import dead
from worker.cli.dead_changes import CHANGES
from worker.cli.doubts import doubts
from worker.cli.events import events
from worker.cli.group import work
from worker.cli.jobs import cancel, enqueue, health, jobs
from worker.cli.notices import notices
from worker.cli.outbox import outbox
from worker.cli.password import password
from worker.cli.preview import preview_message
from worker.cli.prune import prune
from worker.cli.queues import queues
from worker.cli.rates import rates
from worker.cli.run import migrate, run, tour
from worker.cli.runs import runs
from worker.cli.schedules import schedules
from worker.cli.suppressions import suppressions

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deskhand")
def main() -> None:
    """deskhand: the back office's worker."""


_RUNNING = (run, work, migrate, tour, health, config, password, preview_message)
_RUNS = (jobs, enqueue, cancel, queues, rates, runs, schedules, outbox, events, dead, prune)
for command in CHANGES:
    dead.add_command(command)
for command in (*_RUNNING, *_RUNS, notices, doubts, suppressions):
    main.add_command(command)
