"""Heavy work in processes: their answers, their errors, and their end."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import pytest

from clients.errors import ServiceUnavailableError
from jobs.kit import OffloadError
from tests.worker.conftest import until
from worker.offload import Offloader, preload

LARGE = 3_000_000  # bytes: many times what a pipe holds


@pytest.fixture(scope="module", autouse=True)
def _fork_server() -> None:
    """As a worker does it: what the processes need is imported."""
    preload([__name__])


@pytest.fixture
def offload() -> Offloader:
    return Offloader(limit=4)


# What runs in the process: module-level functions, as everywhere


def add(a: int, *, b: int) -> int:
    return a + b


def pid_of_the_process() -> int:
    return os.getpid()


def make_bytes(size: int) -> bytes:
    return b"x" * size


def fail(message: str) -> None:
    raise ServiceUnavailableError(message)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(code: int) -> None:
    sys.exit(code)


def give_a_lambda() -> Any:
    return lambda: None


def write_pid_and_hang(file: Path) -> None:
    """Deaf to everything that can be ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    file.write_text(str(os.getpid()))
    time.sleep(30)  # not for ever: Python's exit waits for a process that nobody killed


def note_begin_and_end(diary: Path, go: Path) -> None:
    with diary.open("a", buffering=1) as file:
        file.write("+")
        file.flush()
        while not go.exists():
            time.sleep(0.005)
        time.sleep(0.05)
        file.write("-")


async def started(file: Path) -> int:
    """The pid that a process wrote."""

    async def pid() -> str:
        return file.read_text() if file.exists() else ""

    return int(await until(pid))


def gone(pid: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return not Path("/proc", str(pid)).exists()

    return check


# Answers and errors


async def test_the_answer_comes_from_another_process(offload: Offloader) -> None:
    assert await offload(add, 1, b=2) == 3
    assert await offload(pid_of_the_process) not in {os.getpid(), os.getppid()}


async def test_no_two_calls_share_a_process(offload: Offloader) -> None:
    pids = [await offload(pid_of_the_process) for _ in range(3)]

    assert len(set(pids)) == 3
    for pid in pids:
        await until(gone(pid))


async def test_a_large_answer_comes_whole(offload: Offloader) -> None:
    assert await offload(make_bytes, LARGE) == b"x" * LARGE


async def test_an_exception_comes_back_with_where_it_was_raised(offload: Offloader) -> None:
    with pytest.raises(ServiceUnavailableError, match="not today") as raised:
        await offload(fail, "not today")

    (note,) = raised.value.__notes__
    assert note.startswith("in the offloaded process:\n")
    assert "test_offload.py" in note
    assert "in fail\n" in note


@pytest.mark.parametrize(("function", "args"), [(kill_itself, ()), (leave, (3,))])
async def test_a_process_that_ends_without_an_answer_is_an_error(
    offload: Offloader, function: Callable[..., None], args: tuple[Any, ...]
) -> None:
    with pytest.raises(OffloadError, match="ended without an answer"):
        await offload(function, *args)

    assert await offload(add, 1, b=2) == 3


async def test_a_process_that_somebody_kills_is_an_error(
    offload: Offloader, tmp_path: Path
) -> None:
    call = asyncio.create_task(offload(write_pid_and_hang, tmp_path / "pid"))
    os.kill(await started(tmp_path / "pid"), signal.SIGKILL)

    with pytest.raises(OffloadError, match="ended without an answer"):
        await call


async def test_an_answer_that_cannot_be_carried_over_is_an_error(offload: Offloader) -> None:
    with pytest.raises(OffloadError, match="the answer cannot be carried over"):
        await offload(give_a_lambda)


async def test_work_that_cannot_be_carried_over_is_an_error_and_takes_no_slot() -> None:
    offload = Offloader(limit=1)
    for _ in range(2):
        with pytest.raises(Exception, match=r"[Cc]an't (pickle|get)"):
            await offload(lambda: None)

    assert await offload(add, 1, b=2) == 3


# The end of the process


async def test_a_cancelled_call_kills_its_process(offload: Offloader, tmp_path: Path) -> None:
    call = asyncio.create_task(offload(write_pid_and_hang, tmp_path / "pid"))
    pid = await started(tmp_path / "pid")

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await gone(pid)()


async def test_a_call_that_runs_out_of_time_kills_its_process(
    offload: Offloader, tmp_path: Path
) -> None:
    call = asyncio.create_task(offload(write_pid_and_hang, tmp_path / "pid"))
    pid = await started(tmp_path / "pid")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, 0.01)

    assert await gone(pid)()


async def test_the_loop_turns_while_work_is_done_elsewhere(
    offload: Offloader, tmp_path: Path
) -> None:
    diary, go = tmp_path / "diary", tmp_path / "go"
    call = asyncio.create_task(offload(note_begin_and_end, diary, go))
    await until(lambda: reads(diary, "+"))

    go.touch()  # nobody could, were the loop blocked
    await call

    assert diary.read_text() == "+-"


async def reads(file: Path, text: str) -> bool:
    return file.exists() and file.read_text() == text


# How many at once


async def test_no_more_run_at_once_than_the_limit(tmp_path: Path) -> None:
    offload, diary, go = Offloader(limit=2), tmp_path / "diary", tmp_path / "go"
    calls = asyncio.gather(*(offload(note_begin_and_end, diary, go) for _ in range(5)))
    try:
        await until(lambda: reads(diary, "++"))
    finally:
        go.touch()

    await calls

    noted = diary.read_text()
    running = [noted[:end].count("+") - noted[:end].count("-") for end in range(len(noted) + 1)]
    assert (noted.count("+"), noted.count("-"), max(running)) == (5, 5, 2)


async def test_calls_that_start_and_end_at_once_keep_out_of_each_others_way(
    offload: Offloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What starts one reaps others. It is made slow to read what it found: none may close it."""
    read = forkserver.read_signed

    def read_late(descriptor: int) -> Any:
        time.sleep(0.02)
        return read(descriptor)

    monkeypatch.setattr(forkserver, "read_signed", read_late)

    async def call(number: int) -> int:
        """Every other is cancelled on its way."""
        task = asyncio.create_task(offload(add, number, b=0))
        if number % 2 == 0:
            asyncio.get_running_loop().call_later(number / 100, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return number

    async with asyncio.timeout(30):
        assert await asyncio.gather(*map(call, range(200))) == list(range(200))


async def test_what_is_cancelled_while_its_answer_comes_reads_nobody_elses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading is made slow: the pipe may be closed only when the thread is through with it."""
    offload, pipes = Offloader(limit=2), cast("Any", Connection)
    receive = pipes._recv

    def read_late(descriptor: int, size: int) -> bytes:
        time.sleep(0.02)
        return os.read(descriptor, size)

    monkeypatch.setattr(pipes, "_recv", lambda self, size: receive(self, size, read_late))
    for number in range(10):
        call = asyncio.create_task(offload(make_bytes, LARGE))
        asyncio.get_running_loop().call_later(0.02 + number / 100, call.cancel)
        with suppress(asyncio.CancelledError):
            await call
        left, right = socket.socketpair()
        with left, right:
            right.send(b"for left alone")
            await asyncio.sleep(0.05)
            assert left.recv(100) == b"for left alone"


async def test_a_call_ends_at_once_also_when_jobs_hold_all_threads(tmp_path: Path) -> None:
    loop, over = asyncio.get_running_loop(), threading.Event()
    held = [loop.run_in_executor(None, over.wait, 30) for _ in range(40)]
    offload = Offloader(limit=1)
    try:
        call = asyncio.create_task(offload(write_pid_and_hang, tmp_path / "pid"))
        pid = await started(tmp_path / "pid")
        async with asyncio.timeout(5):
            call.cancel()
            await asyncio.wait({call})
            assert await offload(add, 1, b=2) == 3
        assert await gone(pid)()
    finally:
        over.set()
        await asyncio.gather(*held)


def leave_a_child_and_die() -> None:
    """The child has the pipe too, and outlives it."""
    if os.fork() == 0:
        time.sleep(8)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


async def test_a_dead_process_is_seen_also_when_its_child_lives_on(offload: Offloader) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(OffloadError, match="ended without an answer"):
            await offload(leave_a_child_and_die)


async def test_a_cancelled_call_gives_its_slot_back(tmp_path: Path) -> None:
    offload = Offloader(limit=1)
    call = asyncio.create_task(offload(write_pid_and_hang, tmp_path / "pid"))
    waiting = asyncio.create_task(offload(add, 1, b=2))
    await started(tmp_path / "pid")
    assert not waiting.done()

    call.cancel()

    assert await asyncio.wait_for(waiting, 10) == 3


async def test_a_call_that_is_cancelled_while_it_waits_starts_nothing(tmp_path: Path) -> None:
    offload = Offloader(limit=1)
    first = asyncio.create_task(offload(write_pid_and_hang, tmp_path / "first"))
    await started(tmp_path / "first")
    second = asyncio.create_task(offload(write_pid_and_hang, tmp_path / "second"))
    await asyncio.sleep(0)

    second.cancel()
    first.cancel()
    await asyncio.wait({first, second})

    assert await offload(add, 1, b=2) == 3
    assert not (tmp_path / "second").exists()


def wait_for(file: Path) -> str:
    """Say who this is, and wait until somebody has written into the file."""
    file.with_suffix(".pid").write_text(str(os.getpid()))
    while not file.exists():
        time.sleep(0.01)
    return "finished"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_the_whole_group_is_not_for_the_processes(
    offload: Offloader, tmp_path: Path, signum: signal.Signals
) -> None:
    running = asyncio.create_task(offload(wait_for, tmp_path / "go"))
    pid = int(await until(lambda: text_of(tmp_path / "go.pid")))

    os.kill(pid, signum)
    (tmp_path / "go").write_text("")

    assert await running == "finished"


async def text_of(file: Path) -> str:
    return file.read_text() if file.exists() else ""


async def test_what_the_worker_was_started_with_is_there_at_once(offload: Offloader) -> None:
    """Each process runs the command's module again; importing what it imports takes a second."""
    assert await offload(_imported_before, ("worker.cli", "arq.cli")) == [True, True]


def _imported_before(names: tuple[str, ...]) -> list[bool]:
    return [name in sys.modules for name in names]
