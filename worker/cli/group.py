"""`deskhand run --processes N`: the supervisor, and the hidden command of each process."""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import arq.worker
import click

from worker.cli.tools import fail, settings_or_exit
from worker.embedded_process import socket_directory
from worker.group import Member, Orders, Supervisor
from worker.settings import Settings, export
from worker.sidecar.listening import SidecarError, listen, port_of
from worker.telemetry.logs import configure

# What starts `deskhand` once more.
PROGRAM: tuple[str, ...] = (sys.executable, "-m", "worker")


def run_group(settings: Settings, *, burst: bool) -> int:
    """Run `settings.processes` workers until told to stop; the exit code."""
    configure(level=settings.log_level, fmt=settings.log_format)
    with ExitStack() as stack:
        sockets = stack.enter_context(_listening(settings))
        if not settings.port:
            export(port=str(port_of(sockets[0])))
        folder = socket_directory("run")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        shared = [each.fileno() for each in sockets]
        supervisor = Supervisor(
            partial(_command, settings.processes, folder, shared, burst),
            count=settings.processes,
            grace=settings.shutdown_grace,
            shared=shared,
            is_burst=burst,
        )
        return asyncio.run(supervisor.run())


@contextmanager
def _listening(settings: Settings) -> Iterator[Sequence[socket.socket]]:
    try:
        sockets = listen(settings.host, settings.port)
    except SidecarError as error:
        fail(f"deskhand cannot start: {error}")
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def _command(
    count: int,
    folder: Path,
    shared: Sequence[int],
    burst: bool,  # noqa: FBT001 - `partial` fills it in
    number: int,
    channel: int,
) -> list[str]:
    place = [f"--number={number}", f"--count={count}", f"--channel={channel}"]
    place += [f"--folder={folder}", *(f"--listen={each}" for each in shared)]
    return [*PROGRAM, "work", *place, *(["--burst"] if burst else [])]


@click.command(hidden=True)
@click.option("--number", type=int, required=True)
@click.option("--count", type=int, required=True)
@click.option("--channel", type=int, required=True)
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--listen", type=int, multiple=True)
@click.option("--burst", is_flag=True)
def work(
    *, number: int, count: int, channel: int, folder: Path, listen: tuple[int, ...], burst: bool
) -> None:
    """Be one process of a group: an ordinary worker that the supervisor orders about."""
    for inherited in (channel, *listen):  # and by nobody in turn
        os.set_inheritable(inherited, False)  # noqa: FBT003 - its only form
    settings = settings_or_exit()
    orders = Orders(socket.socket(fileno=channel), grace=settings.shutdown_grace)
    orders.start()
    member = Member(
        number=number,
        count=count,
        folder=folder,
        sockets=[socket.socket(fileno=each) for each in listen],
        orders=orders,
        is_burst=burst,
    )
    # Takes a moment: from here on nobody has to wait for it to hear that the supervisor is gone.
    from worker.engine.worker import Worker  # noqa: PLC0415 - see above
    from worker.main import WorkerSettings  # noqa: PLC0415 - see above

    made = arq.worker.create_worker(WorkerSettings, burst=burst, ctx={"member": member})  # type: ignore[arg-type]  # ARQ wants a queue_name
    worker = cast(Worker, made)
    orders.obeyed_by(worker)
    worker.run()
