"""A peer's enqueuing process, and what the harness asks of it."""

import ctypes
import json
import select
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.peer import ROOT, Peer, Setup, environment

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_WITHIN = 120.0  # seconds for one order, and for the start


class BenchmarkError(Exception):
    """A peer did not do what it should; the sentence says what, and the last line of its log."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`seconds` that it took; for `pace`, by number, when each job was sent."""

    seconds: float
    sent: list[float]


class Enqueuer:
    """A process that serves the orders of client.py; open for a `with` block."""

    def __init__(self, peer: Peer, setup: Setup) -> None:
        self._log = setup.tallies / "client.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                peer.client_command(),
                cwd=ROOT,
                env=environment(peer, setup),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - only a system call
            )

    def ask(self, what: str, *numbers: float) -> Answer:
        """Have it do one thing. Raises BenchmarkError when it fails, or takes over two minutes."""
        words = [str(int(number)) if number == int(number) else str(number) for number in numbers]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(" ".join([what, *words]).encode() + b"\n")
        except BrokenPipeError:
            raise BenchmarkError(f"enqueuing ended: {last_line(self._log)}") from None
        if not select.select([self._process.stdout], [], [], _WITHIN)[0]:
            raise BenchmarkError(f"enqueuing took over {_WITHIN:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"enqueuing ended: {last_line(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        return Answer(answer["seconds"], answer["sent"])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def end_with_parent() -> None:
    """Between fork and exec: have the kernel kill this process when the harness is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def last_line(log: Path) -> str:
    """Of what a process wrote before it ended."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
