"""Start and stop one server process: as which user, tied to which parent, with which deadline.

Linux sends a server its stop signal when the thread that started it ends (PR_SET_PDEATHSIG), so
that not even a `kill -9` of the parent leaves one behind. Therefore: start from the main thread.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from functools import partial
from pathlib import Path

Command = Sequence[str | Path]

NOBODY = 65534
DEADLINE = timedelta(seconds=30)
SOCKET_PREFIX = "deskhand-"

_CLONE_NEWUSER, _PR_SET_PDEATHSIG = 0x10000000, 1
_EXIT_REFUSED, _EXIT_ORPHANED = 77, 78
_LIBC = ctypes.CDLL(None)
_LONGEST_SOCKET_ROOT = 60  # an AF_UNIX path ends at 107 bytes (103 on macOS); ours adds 40
_LOG_LIMIT = 10 * 1024 * 1024
# Nothing of the caller's: PGPORT, PGOPTIONS, LC_* and TZ would change what the servers do.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class EmbeddedError(Exception):
    """A private server cannot run; the message says why and what to do."""


class RunAs(Enum):
    """As whom PostgreSQL runs, which refuses root.

    In NAMESPACE it sees itself as nobody while its files stay the caller's: no user is made and
    nothing changes hands. NOBODY is for roots who may not make one (a container's seccomp).
    """

    SELF = auto()
    NAMESPACE = auto()
    NOBODY = auto()

    @property
    def owner(self) -> int:
        """The uid that has to own the files."""
        return NOBODY if self is RunAs.NOBODY else os.geteuid()


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, until `stop()`."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals
    socket_directory: Path
    log_file: Path

    def stop(self) -> None:
        """Ask it to stop, kill it after 30 s, remove its socket. Safe to call twice."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(DEADLINE.total_seconds())
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.socket_directory, ignore_errors=True)

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Poll until it is ready. Raises EmbeddedError when it ends, or after 30 s."""
        deadline = time.monotonic() + DEADLINE.total_seconds()
        while not is_ready():
            code = self.process.poll()
            if code is not None:
                raise EmbeddedError(f"{self.name} ended with {code}; {log_tail(self.log_file)}")
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.name} was not ready after {DEADLINE.total_seconds():g} s; "
                    f"{log_tail(self.log_file)}"
                )
            time.sleep(0.005)


def spawn(
    command: Command,
    *,
    log_file: Path,
    run_as: RunAs = RunAs.SELF,
    stop_signal: signal.Signals = signal.SIGTERM,
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that writes to `log_file` and gets `stop_signal` when this thread ends.

    `keep_open` are file descriptors it inherits. Raises RuntimeError outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("embedded servers stop with the thread that starts them: use the main")
    user = NOBODY if run_as is RunAs.NOBODY else None
    with os.fdopen(os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
        # A session of its own: Ctrl-C reaches the caller alone, who stops the servers last.
        return subprocess.Popen(  # noqa: S603 - the commands are ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_ENVIRONMENT,
            start_new_session=True,
            pass_fds=tuple(keep_open),
            user=user,
            group=user,
            extra_groups=() if user else None,
            preexec_fn=_preparation(run_as, stop_signal),  # noqa: PLW1509 - only system calls
        )


def run(
    command: Command,
    *,
    log_file: Path,
    run_as: RunAs = RunAs.SELF,
    keep_open: Sequence[int] = (),
) -> int:
    """Run a command to its end, at most 30 s; its exit code. Otherwise as `spawn`."""
    stop_signal = signal.SIGKILL
    process = spawn(
        command, log_file=log_file, run_as=run_as, stop_signal=stop_signal, keep_open=keep_open
    )
    try:
        return process.wait(DEADLINE.total_seconds())
    except subprocess.TimeoutExpired:
        raise EmbeddedError(f"{command[0]} took too long; {log_tail(log_file)}") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def choose_run_as(postgres: Path) -> RunAs:
    """Ask the kernel what it allows here."""
    is_root = os.geteuid() == 0
    if not is_root and _has_name(os.geteuid()):
        return RunAs.SELF
    # initdb also refuses a uid without a name, as `docker run --user 4242` gives one.
    probe: Command = [postgres, "--version"]
    if sys.platform == "linux" and not run(
        probe, log_file=Path(os.devnull), run_as=RunAs.NAMESPACE
    ):
        return RunAs.NAMESPACE
    return RunAs.NOBODY if is_root else RunAs.SELF


def socket_directory(name: str, run_as: RunAs = RunAs.SELF) -> Path:
    """A new directory with a short path that only the server's user can enter."""
    root = tempfile.gettempdir()
    root = root if len(os.fsencode(root)) <= _LONGEST_SOCKET_ROOT else "/tmp"  # noqa: S108 - made by mkdtemp
    directory = Path(tempfile.mkdtemp(prefix=f"{SOCKET_PREFIX}{name}-", dir=root))
    if run_as is RunAs.NOBODY:
        os.chown(directory, NOBODY, NOBODY)
    return directory


def log_tail(log_file: Path) -> str:
    """The log's name and its last lines, to end an error message with."""
    with log_file.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
        lines = log.read().decode(errors="replace").splitlines()[-12:]
    return "\n  ".join([f"the end of {log_file}:", *lines])


def rotate(log_file: Path) -> None:
    """Put a log past 10 MB aside, in place of the one put aside before."""
    if log_file.exists() and log_file.stat().st_size > _LOG_LIMIT:
        log_file.replace(log_file.with_name(log_file.name + ".1"))


def _preparation(run_as: RunAs, stop_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    ids = (os.geteuid(), os.getegid()) if run_as is RunAs.NAMESPACE else None
    return partial(_prepare, ids, stop_signal, os.getpid())


def _prepare(ids: tuple[int, int] | None, stop_signal: int, parent: int) -> None:
    """Between fork and exec."""
    if ids and not _enter_user_namespace(*ids):
        os._exit(_EXIT_REFUSED)
    _LIBC.prctl(_PR_SET_PDEATHSIG, stop_signal)  # after setuid and unshare, which both reset it
    if os.getppid() != parent:  # the parent ended before we asked to be told
        os._exit(_EXIT_ORPHANED)


def _enter_user_namespace(uid: int, gid: int) -> bool:
    if _LIBC.unshare(_CLONE_NEWUSER):
        return False
    try:
        for file, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{NOBODY} {uid} 1"),
            ("gid_map", f"{NOBODY} {gid} 1"),
        ):
            Path("/proc/self", file).write_text(text)
    except OSError:
        return False
    return True


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
