"""`deskhand …`: run the worker, migrate, enqueue, look after dead letters, check settings.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 a service is away, 78 settings.
"""

import click

from worker import __version__
from worker.cli.config import config
from worker.cli.dead import dead
from worker.cli.jobs import enqueue, health, jobs
from worker.cli.run import migrate, run, tour

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deskhand")
def main() -> None:
    """deskhand: the back office's worker."""


for command in (run, migrate, tour, jobs, enqueue, dead, health, config):
    main.add_command(command)
