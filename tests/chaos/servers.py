"""Valkey and PostgreSQL that can be killed and started again with their data, at fixed addresses.

Start them from the main thread: they stop with it, as all embedded servers do.
"""

import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGSTOP

from tests.ports import free_port
from worker.embedded import Server, start_postgres
from worker.embedded_binaries import find_valkey
from worker.embedded_process import Command, spawn

_START_WITHIN = 30  # seconds


class Valkey:
    """Acknowledges only what is on disk, so that nothing acknowledged is lost by a `kill -9`."""

    def __init__(self, directory: Path) -> None:
        self._data = directory / "valkey"
        self._data.mkdir()
        self._log = directory / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until the data is read. Raises TimeoutError."""
        listen = ["--port", str(self.port), "--bind", "127.0.0.1"]
        keep = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command: Command = [find_valkey(), *listen, *keep, "--dir", self._data]
        self._process = spawn(command, log_file=self._log)
        deadline = time.monotonic() + _START_WITHIN
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError(f"Valkey did not start; see {self._log}")
            time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(SIGKILL)
            self._process.wait()

    def freeze(self) -> None:
        if self._process is not None:
            self._process.send_signal(SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(SIGCONT)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as line:
            line.sendall(b"PING\r\n")
            return line.recv(5) == b"+PONG"
        return False


class Postgres:
    """Its socket directory changes with each start; the link to it, which the URL names, stays."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._link = directory / "pg"
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"postgresql://app@/postgres?host={self._link}&port=5432"

    def start(self) -> None:
        """Start, and wait until it has recovered. Raises EmbeddedError."""
        self._server = start_postgres(self._directory)
        fresh = self._link.with_suffix(".new")
        fresh.symlink_to(self._server.socket_directory)
        fresh.replace(self._link)

    def stop(self, *, is_immediate: bool = False) -> None:
        """End all sessions; an immediate stop is a crash: the next start recovers from the log."""
        if self._server is not None:
            self._server.process.send_signal(SIGQUIT if is_immediate else SIGINT)
            self._server.process.wait()
            self._server.stop()
