"""`deskhand run`, `deskhand migrate`, `deskhand tour`."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import arq.worker
import click

from worker.cli.group import run_group
from worker.cli.tools import (
    connected,
    fail,
    run_async,
    settings_of_running_worker,
    settings_or_exit,
)
from worker.embedded import AlreadyRunningError, EmbeddedError, services
from worker.migrate import migrate as apply_migrations
from worker.migrate import pending
from worker.settings import Settings, export
from worker.settings_running import MOST_PROCESSES


@click.command()
@click.option("--queues", help="Serve only these, separated by commas (WORKER_QUEUES).")
@click.option(
    "--processes",
    type=click.IntRange(1, MOST_PROCESSES),
    help="Worker processes, for more than one core (PROCESSES).",
)
@click.option("--burst", is_flag=True, help="End when all queues are empty.")
@click.option("--demo", is_flag=True, help="Load the demo tenants and take the tour.")
def run(*, queues: str | None, processes: int | None, burst: bool, demo: bool) -> None:
    """Run the worker; on private services under VAR_DIR where no URL is set."""
    if queues is not None:
        export(worker_queues=queues)
    if processes is not None:
        export(processes=str(processes))
    settings = settings_or_exit()
    # Until the worker listens itself: unwind, so that private services stop.
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    with ExitStack() as stack:
        _start_missing_services(settings, stack)
        if demo:
            stack.enter_context(_taking_the_tour())
        if settings.processes > 1:
            sys.exit(run_group(settings, burst=burst))
        # Only now: the worker's module reads the settings, and the URLs have just been set.
        from worker.main import WorkerSettings  # noqa: PLC0415 - see above

        arq.worker.create_worker(WorkerSettings, burst=burst).run()  # type: ignore[arg-type]  # ARQ wants a queue_name


def _start_missing_services(settings: Settings, stack: ExitStack) -> None:
    """Start what no URL names, and migrate a database that is our own to migrate."""
    if settings.database_dsn is not None and settings.redis_dsn is not None:
        return
    try:
        private = stack.enter_context(services(settings.var_dir, log=click.echo))
    except (AlreadyRunningError, EmbeddedError) as error:
        fail(str(error))
    if settings.redis_dsn is None:
        export(redis_url=private.redis_url)
    if settings.database_dsn is None:
        export(database_url=private.database_url)
        migrated = asyncio.run(apply_migrations(private.database_url))
        for name in migrated:
            click.echo(f"migrated: {name}")
        if not migrated:
            click.echo(f"going on with the data in {settings.var_dir}")


@contextmanager
def _taking_the_tour() -> Iterator[None]:
    """The tour is a client like any other: a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "worker", "tour"], start_new_session=True)
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(10)


@click.command()
def tour() -> None:
    """Load the demo tenants, enqueue a tour of real jobs, and say where to look."""
    from worker.demo.tour import take_tour  # noqa: PLC0415 - only this command needs the demo

    async def command() -> None:
        async with connected() as on:
            await take_tour(on.db, on.pool, settings_or_exit(), say=click.echo)

    run_async(command())


@click.command()
@click.option("--status", is_flag=True, help="Only say what is pending.")
def migrate(*, status: bool) -> None:
    """Apply pending migrations to DATABASE_URL; any number may run at once."""
    settings = settings_or_exit()
    if settings.database_dsn is None:
        settings = settings_of_running_worker()

    async def command() -> None:
        url = str(settings.database_dsn)
        names = await (pending(url) if status else apply_migrations(url))
        word = "pending" if status else "migrated"
        for name in names:
            click.echo(f"{word}: {name}")
        if not names:
            click.echo("the database is up to date")

    run_async(command())
