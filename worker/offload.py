"""CPU-bound work in a process of its own, killed together with the attempt that asked for it.

Each call gets a fresh process from a fork server: nothing leaks from one attempt to the next, and a
process that hangs, eats memory or crashes takes nothing with it. The fork server imports the jobs
once, so a call costs some ten milliseconds, and the first one a second.
"""

import asyncio
import ctypes
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar, cast

from jobs.kit import OffloadError

P = ParamSpec("P")
R = TypeVar("R")

_PR_SET_PDEATHSIG = 1
_CONTEXT = get_context("forkserver")
# Each child imports what this process was started with, which takes a second unless it is there.
_COMMANDS = ("worker.cli", "arq.cli")
_GONE_WITHIN = 10  # seconds; a killed process that takes longer hangs in the kernel

# Whoever starts a process also reaps those of others that have ended (multiprocessing's `_cleanup`,
# unlocked). Were one closed at that moment, its descriptor would be read when it is another's: a
# socket of the worker, or the pipe that tells another start its process id, which then never comes.
_CHILDREN = threading.Lock()


class Offloader:
    """Runs module-level functions in processes, at most `limit` (default: cores) at once."""

    def __init__(self, limit: int | None = None) -> None:
        limit = limit or os.cpu_count() or 1
        self._slots = asyncio.Semaphore(limit)
        # Of its own: jobs may fill all threads of the loop's, and a process has to be killed now.
        self._threads = ThreadPoolExecutor(limit, "offload")

    async def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`function(*args, **kwargs)` elsewhere. Raises what it raises, or OffloadError.

        Function, arguments, result and exception must be picklable; they only ever pass between
        this process and its own child.
        """
        async with self._slots:
            call = _Call(self._threads, function, args, kwargs)
            try:
                succeeded, value = await call.answer()
            finally:
                # Shielded: a process that is just being started must be killed too.
                await asyncio.shield(asyncio.create_task(call.end()))
        if succeeded:
            return cast("R", value)
        raise value


class _Call:
    """One process. What blocks is done in a thread, which no cancellation stops: `end` waits for it
    before it closes what the thread uses.
    """

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._threads = threads
        self._ours, self._theirs = _CONTEXT.Pipe(duplex=False)
        self._process: Any = _CONTEXT.Process(
            target=_child, args=(self._theirs, function, args, kwargs), daemon=True
        )
        self._starting: asyncio.Future[None] | None = None
        self._receiving: asyncio.Future[Any] | None = None

    async def answer(self) -> tuple[bool, Any]:
        """Whether it succeeded, and what it returned or raised. Raises OffloadError."""
        # Starting talks to the fork server over a socket: short, but not for the loop.
        self._starting = self._in_thread(_start, self._process)
        await asyncio.shield(self._starting)
        self._theirs.close()
        await _readable(self._ours.fileno(), self._process.sentinel)
        self._receiving = self._in_thread(_receive, self._ours)
        return await asyncio.shield(self._receiving)

    async def end(self) -> None:
        """Kill the process, if it still runs, and let go of everything."""
        has_started = await _is_done(self._starting)
        if has_started:
            self._process.kill()
        await _is_done(self._receiving, within=_GONE_WITHIN)
        self._theirs.close()
        if self._receiving is None or self._receiving.done():
            self._ours.close()
        if not has_started:
            return
        with suppress(TimeoutError):  # the next start reaps it, once it has gone
            async with asyncio.timeout(_GONE_WITHIN):
                await _readable(self._process.sentinel)
            await self._in_thread(_reap, self._process)

    def _in_thread(self, function: Callable[..., R], *args: Any) -> asyncio.Future[R]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function, *args)


async def _is_done(work: "asyncio.Future[Any] | None", within: float | None = None) -> bool:
    """Wait for it; false when it was never begun, failed, or takes longer."""
    if work is None:
        return False
    done, _ = await asyncio.wait({work}, timeout=within)
    return bool(done) and work.exception() is None


async def _readable(*descriptors: int) -> None:
    """Wait until one of them is."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    for descriptor in descriptors:
        loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        for descriptor in descriptors:
            loop.remove_reader(descriptor)


def _child(
    pipe: Connection, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    if sys.platform == "linux":
        # The fork server ends when the worker does, however it does; so shall this process.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        answer = (True, function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - carried over and raised there
        error.add_note("in the offloaded process:\n" + "".join(traceback.format_exception(error)))
        answer = (False, _portable(error))
    try:
        pipe.send(answer)
    except Exception as error:  # noqa: BLE001 - the answer cannot be pickled: say so instead
        pipe.send((False, OffloadError(f"the answer cannot be carried over: {error}")))


def _portable(error: Exception) -> Exception:
    """The error, or what it says: some exceptions can be sent, and not be made again there."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes, a moment old
    except Exception:  # noqa: BLE001 - whatever its class does
        return OffloadError(f"{type(error).__name__}: {error}")
    return error


def preload(modules: list[str]) -> None:
    """Have the fork server import these, once, when the first process is asked for.

    Not before: a worker whose jobs offload nothing is spared its memory, and a second of a core.
    """
    _CONTEXT.set_forkserver_preload([*modules, *_COMMANDS])


def _start(process: Any) -> None:
    with _CHILDREN:
        _ensure_fork_server()
        process.start()


def _receive(pipe: Connection) -> tuple[bool, Any]:
    try:
        if pipe.poll():  # else it is gone, and a process that it started itself holds the pipe
            os.set_blocking(pipe.fileno(), True)
            answer: tuple[bool, Any] = pipe.recv()
            return answer
    except (EOFError, OSError):
        pass
    raise OffloadError("the process ended without an answer (killed, or out of memory)")


def _reap(process: Any) -> None:
    with _CHILDREN:
        process.join(0)
        process.close()


def _ensure_fork_server() -> None:
    """Ctrl-C and TERM go to the whole group, but the worker decides what becomes of its children.

    Blocked in the fork server, they are so from the first instruction of every process.
    """
    resource_tracker.ensure_running()  # by itself, because it sets the mask back
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
