"""`deskhand …`: run the worker, migrate, enqueue, look at queues, outbox and events, look
after dead letters, prune, check settings.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 a service is away, 78 settings.
"""

import click

from worker import __version__
from worker.cli.config import config
from worker.cli.dead import dead
from worker.cli.events import events
from worker.cli.jobs import enqueue, health, jobs
from worker.cli.outbox import outbox
from worker.cli.prune import prune
from worker.cli.queues import queues
from worker.cli.run import migrate, run, tour

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deskhand")
def main() -> None:
    """deskhand: the back office's worker."""


for command in (
    run,
    migrate,
    tour,
    jobs,
    enqueue,
    queues,
    outbox,
    events,
    dead,
    prune,
    health,
    config,
):
    main.add_command(command)
