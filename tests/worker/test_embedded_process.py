"""How a server process is started and watched."""

import signal
import sys
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from worker import embedded_process
from worker.embedded import start_valkey
from worker.embedded_process import EmbeddedError, Server, log_tail, rotate, run, spawn


def test_a_thread_cannot_start_servers(tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            start_valkey(tmp_path)
        except RuntimeError as error:
            caught.append(error)

    thread = Thread(target=start)
    thread.start()
    thread.join()

    assert "use the main" in str(caught[0])


def test_a_server_that_ends_early_is_explained_with_its_log(tmp_path: Path) -> None:
    log_file = tmp_path / "server.log"
    process = spawn([sys.executable, "-c", "exit('no such luck')"], log_file=log_file)
    server = Server("Server", "", process, signal.SIGTERM, tmp_path / "sockets", log_file)

    with pytest.raises(EmbeddedError, match=rf"Server ended with 1; the end of {log_file}:\n  no"):
        server.wait_until(lambda: False)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_process, "DEADLINE", timedelta(seconds=0.2))


@pytest.fixture
def deaf(tmp_path: Path) -> Server:
    """It does not listen to SIGTERM, and has said so."""
    log_file = tmp_path / "deaf.log"
    code = "from signal import *; signal(SIGTERM, SIG_IGN); print('deaf', flush=True); pause()"
    process = spawn([sys.executable, "-c", code], log_file=log_file)
    server = Server("Deaf", "", process, signal.SIGTERM, tmp_path / "sockets", log_file)
    server.wait_until(lambda: log_file.read_text() == "deaf\n")
    return server


def test_a_server_that_does_not_stop_is_killed(deaf: Server, impatience: None) -> None:
    deaf.stop()
    deaf.stop()

    assert deaf.process.returncode == -signal.SIGKILL


def test_a_server_that_is_never_ready_is_not_waited_for(deaf: Server, impatience: None) -> None:
    with pytest.raises(EmbeddedError, match=r"Deaf was not ready after 0\.2 s; .*:\n  deaf"):
        deaf.wait_until(lambda: False)

    deaf.stop()


def test_a_command_that_hangs_is_killed(tmp_path: Path, impatience: None) -> None:
    code = "from signal import pause; pause()"

    with pytest.raises(EmbeddedError, match="took too long"):
        run([sys.executable, "-c", code], log_file=tmp_path / "log")


def test_a_command_tells_how_it_ended(tmp_path: Path) -> None:
    assert run([sys.executable, "-c", "exit(3)"], log_file=tmp_path / "log") == 3


def test_nothing_of_the_environment_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")

    run([sys.executable, "-c", "import os; print(*os.environ)"], log_file=tmp_path / "log")

    assert set((tmp_path / "log").read_text().split()) == {"PATH", "LC_ALL", "TZ"}


def test_the_tail_of_a_log_is_short(tmp_path: Path) -> None:
    log_file = tmp_path / "log"
    log_file.write_text("".join(f"line {number}\n" for number in range(10_000)))

    assert log_tail(log_file).splitlines()[1:] == [f"  line {n}" for n in range(9988, 10_000)]


def test_a_long_log_is_put_aside(tmp_path: Path) -> None:
    log_file = tmp_path / "log"
    log_file.touch()
    rotate(log_file)
    assert log_file.exists()

    with log_file.open("wb") as log:
        log.truncate(11 * 1024 * 1024)
    rotate(log_file)

    assert not log_file.exists()
    assert (tmp_path / "log.1").stat().st_size == 11 * 1024 * 1024
