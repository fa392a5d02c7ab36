"""Starts the processes of a group, starts those again that die, and passes on when to stop.

The first one starts alone: what keeps it from working is said once, and ends everything with its
exit code. Later a process that dies comes back after a growing wait, and one that keeps dying ends
the group, so that whoever looks after it hears of it.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from worker.background import cancel
from worker.group.member import DRAIN, HURRY, READY
from worker.telemetry.logs import get_logger

_SETTINGS = 78  # EX_CONFIG of sysexits.h: starting it again would change nothing
_KILL_AFTER = 25.0  # seconds beyond the grace
_log = get_logger(__name__)

# The command of one process, given its number and the descriptor of its channel.
Program = Callable[[int, int], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """With a process that dies: seconds before it is started again, doubled each time.

    One that has lived for `long` seconds counts as new; after `most` deaths in a row all end.
    """

    first: float = 0.5
    longest: float = 30
    long: float = 60
    most: int = 8

    def wait(self, deaths: int) -> float:
        return min(self.first * 2.0 ** (deaths - 1), self.longest)


class Supervisor:
    """`await run()` is the exit code. `shared` are descriptors that every process inherits."""

    def __init__(
        self,
        program: Program,
        *,
        count: int,
        grace: float,
        shared: Sequence[int] = (),
        is_burst: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self._program = program
        self._count = count
        self._grace = grace
        self._shared = tuple(shared)
        self._is_burst = is_burst
        self._patience = patience or Patience()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._channels: dict[int, socket.socket] = {}
        self._is_up = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_hurrying = False
        self._code = 0

    async def run(self) -> int:
        """Until told to stop, or in burst mode until all are done."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for signum in signals:
            loop.add_signal_handler(signum, self._signalled, signum)
        killing = asyncio.create_task(self._kill_when_late())
        keepers = [asyncio.create_task(self._keep(0))]
        try:
            up = asyncio.create_task(self._is_up.wait())
            await asyncio.wait({keepers[0], up}, return_when=asyncio.FIRST_COMPLETED)
            await cancel([up])
            if self._is_up.is_set():
                others = range(1, self._count)
                keepers += [asyncio.create_task(self._keep(number)) for number in others]
            await asyncio.gather(*keepers)
        finally:
            await cancel([killing, *keepers])
            for signum in signals:
                loop.remove_signal_handler(signum)
        return self._code

    def stop(self, *, hurry: bool = False) -> None:
        """Have all finish what they have in hand; with `hurry`, give it back at once."""
        self._stopping.set()
        self._is_hurrying = self._is_hurrying or hurry
        for number in self._channels:
            self._order(number)

    def _signalled(self, signum: signal.Signals) -> None:
        is_second = self._stopping.is_set()
        _log.info("Stopping all processes", signal=signal.Signals(signum).name, hurry=is_second)
        self.stop(hurry=is_second)

    def _order(self, number: int) -> None:
        with suppress(OSError):  # it has just ended
            self._channels[number].send(DRAIN + HURRY if self._is_hurrying else DRAIN)

    async def _keep(self, number: int) -> None:
        """Have process `number` run, until the group stops or it is not to be had."""
        deaths = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            pid, code = await self._run_once(number)
            if self._stopping.is_set():
                self._note(number, code)
                return
            if self._is_burst and code == 0:
                return
            lived = time.monotonic() - began
            deaths = 1 if lived >= self._patience.long else deaths + 1
            if not self._is_up.is_set() or code == _SETTINGS or deaths > self._patience.most:
                self._give_up(number, code, deaths)
                return
            wait = self._patience.wait(deaths)
            _log.warning(
                "A process ended and is started again",
                process=number,
                ended_pid=pid,
                code=code,
                wait=wait,
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def _run_once(self, number: int) -> tuple[int, int]:
        """Start it and wait for its end; its pid and exit code."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(0)
            try:
                process = await self._spawn(number, theirs.fileno())
            except OSError as error:  # no memory, or too many processes
                _log.error("A process cannot be started", process=number, reason=error.strerror)
                return 0, 1
            theirs.close()
            self._processes[number], self._channels[number] = process, ours
            if self._stopping.is_set():  # told while it was being started
                self._order(number)
            hearing = asyncio.create_task(self._hear(ours))
            try:
                return process.pid, await process.wait()
            finally:
                await cancel([hearing])
                del self._processes[number], self._channels[number]

    async def _spawn(self, number: int, channel: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._program(number, channel),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(channel, *self._shared),
            # Ctrl-C and a closed terminal are the supervisor's business, which tells them.
            start_new_session=True,
        )

    async def _hear(self, channel: socket.socket) -> None:
        with suppress(OSError):
            while told := await asyncio.get_running_loop().sock_recv(channel, 16):
                if READY in told:
                    self._is_up.set()

    def _note(self, number: int, code: int) -> None:
        if code:
            _log.warning("A process did not end well", process=number, code=code)
            self._code = self._code or _exit_code(code)

    def _give_up(self, number: int, code: int, deaths: int) -> None:
        self._code = _exit_code(code)
        if self._is_up.is_set():
            _log.error(
                "A process keeps ending, and all end", process=number, code=code, deaths=deaths
            )
        self.stop()

    async def _kill_when_late(self) -> None:
        await self._stopping.wait()
        await asyncio.sleep(self._grace + _KILL_AFTER)
        for number, process in self._processes.items():
            _log.error("A process does not end and is killed", process=number)
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def _exit_code(code: int) -> int:
    """Of a process that a signal ended: 1, because ours was not."""
    return code if code > 0 else 1
