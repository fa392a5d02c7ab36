"""Private PostgreSQL and Valkey for a machine that has neither, reached by unix sockets alone.

    with services(Path("var")) as running:
        connect(running.database_url, running.redis_url)

Both listen in directories that only this user can enter, so they ask for no password. They stop
when the block ends and, on Linux, when this process ends in any other way.
"""

import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

from worker.embedded_binaries import (
    find_postgres,
    find_valkey,
    give_to,
    is_reachable,
    reachable_postgres,
)
from worker.embedded_lock import AlreadyRunningError, locked, recorded_urls
from worker.embedded_process import (
    NOBODY,
    Command,
    EmbeddedError,
    RunAs,
    Server,
    choose_run_as,
    log_tail,
    rotate,
    run,
    socket_directory,
    spawn,
)

__all__ = [
    "AlreadyRunningError",
    "EmbeddedError",
    "Server",
    "Services",
    "running_services",
    "services",
    "start_postgres",
    "start_valkey",
]

_log = logging.getLogger(__name__)

_POSTGRES = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
_FAST_BUT_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Services:
    """What to put into DATABASE_URL and REDIS_URL."""

    database_url: str
    redis_url: str


@contextmanager
def services(
    directory: Path, *, is_durable: bool = True, log: Callable[[str], None] = _log.info
) -> Iterator[Services]:
    """Run both servers on the data in `directory` for the length of a `with` block.

    Call it from the main thread, before an event loop runs: it blocks (about 1 s the first time,
    0.1 s later). Without `is_durable` a power failure may lose data: for tests. Raises
    AlreadyRunningError, or EmbeddedError when a server cannot run.
    """
    directory = _made(directory)
    with locked(directory) as lock, ExitStack() as stack:
        started: list[Server] = []
        for start in (start_postgres, start_valkey):
            began = time.monotonic()
            server = start(directory, is_durable=is_durable, keep_open=(lock.descriptor,))
            stack.callback(server.stop)
            started.append(server)
            lock.record(started)
            took = time.monotonic() - began
            log(f"{server.name} is up after {took:.2f} s (pid {server.process.pid}): {server.url}")
        postgres, valkey = started
        yield Services(database_url=postgres.url, redis_url=valkey.url)


def running_services(directory: Path) -> Services | None:
    """The services that another process runs on `directory` right now, for short commands."""
    urls = recorded_urls(directory)
    return Services(*urls) if len(urls) == len(fields(Services)) else None


def start_postgres(
    directory: Path, *, is_durable: bool = True, keep_open: Sequence[int] = ()
) -> Server:
    """Start PostgreSQL on `directory/postgres`, made if need be; its log is beside it.

    The URL is of user `app` and database `postgres`. Raises EmbeddedError.
    """
    directory = _made(directory)
    data, log_file = directory / "postgres", directory / "postgres.log"
    rotate(log_file)
    binaries = find_postgres()
    run_as = choose_run_as(binaries / "postgres")
    if run_as is RunAs.NOBODY:
        binaries = _for_nobody(binaries, directory)
    if (data / "PG_VERSION").exists():
        _require_same_major(data, binaries)
        _require_owner(data, run_as)
    else:
        _create_cluster(
            data, binaries, run_as, log_file, is_durable=is_durable, keep_open=keep_open
        )

    sockets = socket_directory("pg", run_as)
    settings = _POSTGRES | ({} if is_durable else _FAST_BUT_FORGETFUL)
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return _started(
        "PostgreSQL",
        [binaries / "postgres", "-D", data, "-k", sockets, *options],
        url=f"postgresql://app@/postgres?host={sockets}&port=5432",
        is_ready=lambda server: _is_postgres_ready(data, server.process.pid),
        sockets=sockets,
        log_file=log_file,
        stop_signal=signal.SIGINT,  # "fast": ends sessions and writes a checkpoint
        run_as=run_as,
        keep_open=keep_open,
    )


def start_valkey(
    directory: Path, *, is_durable: bool = True, keep_open: Sequence[int] = ()
) -> Server:
    """Start Valkey (or Redis) on `directory/valkey`; its log is beside it. Raises EmbeddedError."""
    directory = _made(directory)
    data, log_file = directory / "valkey", directory / "valkey.log"
    data.mkdir(mode=0o700, exist_ok=True)
    rotate(log_file)
    program = find_valkey()

    sockets = socket_directory("vk")
    address = sockets / "s"
    listen: Command = ["--port", "0", "--unixsocket", address, "--unixsocketperm", "700"]
    keep: Command = ["--dir", data, "--save", "", "--appendonly", "yes" if is_durable else "no"]
    return _started(
        "Valkey",
        [program, *listen, *keep],
        url=f"unix://{address}?db=0",
        is_ready=lambda _: _is_valkey_ready(address),
        sockets=sockets,
        log_file=log_file,
        stop_signal=signal.SIGTERM,
        keep_open=keep_open,
    )


def _started(
    name: str,
    command: Command,
    *,
    url: str,
    is_ready: Callable[[Server], bool],
    sockets: Path,
    log_file: Path,
    stop_signal: signal.Signals,
    keep_open: Sequence[int],
    run_as: RunAs = RunAs.SELF,
) -> Server:
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, sockets, ignore_errors=True)
        process = spawn(
            command, log_file=log_file, run_as=run_as, stop_signal=stop_signal, keep_open=keep_open
        )
        server = Server(name, url, process, stop_signal, sockets, log_file)
        undo.callback(server.stop)
        server.wait_until(lambda: is_ready(server))
        undo.pop_all()
        return server


def _create_cluster(
    data: Path,
    binaries: Path,
    run_as: RunAs,
    log_file: Path,
    *,
    is_durable: bool,
    keep_open: Sequence[int],
) -> None:
    """Make it beside its place and move it there whole: killed halfway, it is made anew.

    initdb's own children outlive a kill for a moment and still write, hence `keep_open`.
    """
    unfinished = data.with_name(data.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if run_as is RunAs.NOBODY:
        os.chown(unfinished, NOBODY, NOBODY)
    initdb: Command = [binaries / "initdb", "-D", unfinished, "-U", "app", "--auth=trust"]
    options = ["-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"]
    if not is_durable:
        options.append("--no-sync")
    if run([*initdb, *options], log_file=log_file, run_as=run_as, keep_open=keep_open):
        raise EmbeddedError(f"initdb could not create {data}; {log_tail(log_file)}")
    try:
        unfinished.rename(data)
    except OSError as error:
        raise EmbeddedError(f"{data} holds something, but no PostgreSQL: move it away") from error


def _for_nobody(binaries: Path, directory: Path) -> Path:
    if not is_reachable(directory):
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and user nobody cannot enter {directory}: "
            "start as an ordinary user, or set VAR_DIR to a directory that others may enter"
        )
    return reachable_postgres(binaries, directory)


def _require_same_major(data: Path, binaries: Path) -> None:
    command: Command = [binaries / "postgres", "--version"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own program
    version = told.split()[2]  # postgres (PostgreSQL) 18.6
    written_by = (data / "PG_VERSION").read_text().strip()
    if written_by != version.split(".")[0]:
        raise EmbeddedError(
            f"{data} was written by PostgreSQL {written_by}, but {binaries} holds {version}: "
            f"dump it with {written_by} (pg_dumpall), move it away, start, and load the dump; "
            f"or install {written_by} again, or set DATABASE_URL to a server of your own"
        )


def _require_owner(data: Path, run_as: RunAs) -> None:
    owner = data.stat().st_uid
    if owner == run_as.owner:
        return
    if os.geteuid() == 0 and owner in {0, NOBODY}:  # root's other way to run it was used before
        give_to(data, run_as.owner)
        return
    raise EmbeddedError(
        f"{data} belongs to uid {owner}, but this is uid {os.geteuid()}: "
        "start as that user, or set VAR_DIR to another directory"
    )


def _is_postgres_ready(data: Path, pid: int) -> bool:
    """Line 1 of postmaster.pid is the pid, line 8 the state."""
    with suppress(FileNotFoundError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return lines[:1] == [str(pid)] and [line.strip() for line in lines[7:8]] == ["ready"]
    return False


def _is_valkey_ready(address: Path) -> bool:
    """It says LOADING in place of PONG while it reads its data."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(str(address))
        connection.sendall(b"PING\r\n")
        return connection.recv(5) == b"+PONG"
    return False


def _made(directory: Path) -> Path:
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    return directory
