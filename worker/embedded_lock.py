"""One deskhand to a directory: who holds it, and what is left of one that was killed."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.embedded_process import DEADLINE, SOCKET_PREFIX, EmbeddedError, Server


class AlreadyRunningError(EmbeddedError):
    """Another process uses this directory."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A held lock. Servers inherit `descriptor`, so it is free only when they are gone as well."""

    descriptor: int

    def record(self, started: Sequence[Server]) -> None:
        """Tell whoever comes next who is here, and with which servers."""
        record = {
            "pid": os.getpid(),
            "servers": [server.process.pid for server in started],
            "urls": [server.url for server in started],
            "sockets": [str(server.socket_directory) for server in started],
        }
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps(record).encode(), 0)


@contextmanager
def locked(directory: Path) -> Iterator[Lock]:
    """Hold `directory/lock`. Raises AlreadyRunningError, or EmbeddedError if it cannot be had.

    Waits for the servers of a deskhand that was killed, which stop by themselves, at most 30 s.
    """
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedError(
            f"cannot write to {directory} ({error.strerror}): set VAR_DIR to another directory"
        ) from error
    try:
        _take(descriptor, directory)
        for left_behind in _read_record(descriptor).get("sockets", ()):
            if Path(left_behind).name.startswith(SOCKET_PREFIX):
                shutil.rmtree(left_behind, ignore_errors=True)
        lock = Lock(descriptor)
        lock.record([])
        try:
            yield lock
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def recorded_urls(directory: Path) -> list[str]:
    """What the holder of the lock recorded; nothing when nobody holds it."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR)
    except OSError:
        return []
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return [str(url) for url in _read_record(descriptor).get("urls", ())]
    else:
        return []
    finally:
        os.close(descriptor)


def _take(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + DEADLINE.total_seconds()
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        record = _read_record(descriptor)
        urls = " and ".join(record.get("urls", ())) or "still starting"
        owner = record.get("pid")
        if owner and _is_alive(owner):
            raise AlreadyRunningError(
                f"another deskhand (pid {owner}) is using {directory}: stop it (kill {owner}), "
                f"or set VAR_DIR to another directory. Its servers: {urls}"
            )
        if time.monotonic() > deadline:
            servers = " ".join(map(str, record.get("servers", ())))
            raise AlreadyRunningError(
                f"servers of a deskhand that was killed are still using {directory}: "
                f"stop them (kill {servers}), or set VAR_DIR to another directory"
            )
        time.sleep(0.02)


def _read_record(descriptor: int) -> dict[str, Any]:
    try:
        record = json.loads(os.pread(descriptor, 65536, 0))
    except ValueError:  # empty, or being written
        return {}
    return record if isinstance(record, dict) else {}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
