"""What a run cost: CPU seconds of processes, commands and round trips of Redis. Linux only."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from redis import Redis

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2
# Places in /proc/<pid>/stat, counted from behind the command's name.
_PARENT, _GROUP, _CHILDREN = 1, 2, slice(13, 15)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads, to the nanosecond; 0 when it is gone.

    The clock's number is made as clock_getcpuclockid(3) makes it.
    """
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def group_seconds(group: int) -> float:
    """CPU time of a process group: a worker with the processes it started."""
    return sum(cpu_seconds(pid) for pid, stat in _processes() if int(stat[_GROUP]) == group)


def family_seconds(parent: int) -> float:
    """CPU time of a process, its children, and its children that ended."""
    seconds = cpu_seconds(parent)
    for pid, stat in _processes():
        if pid == parent:
            seconds += sum(map(int, stat[_CHILDREN])) * _TICK
        elif int(stat[_PARENT]) == parent:
            seconds += cpu_seconds(pid)
    return seconds


def machine_seconds() -> float:
    """CPU time that all programs of this machine have used, and what its host took from it."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + stolen) * _TICK


def own_seconds() -> float:
    """CPU time of this process and the children that it has seen end."""
    return sum(os.times()[:4])


def _processes() -> Iterator[tuple[int, list[str]]]:
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                stat = (directory / "stat").read_text()
            except OSError:
                continue  # it ended just now
            yield int(directory.name), stat.rpartition(")")[2].split()


class Busyness:
    """How busy others keep the machine, from now on: nobody measures well beside them."""

    def __init__(self, servers_seconds: Callable[[], float]) -> None:
        self._servers_seconds = servers_seconds
        self._began = time.monotonic()
        self._before = self._others()

    def _others(self) -> float:
        return machine_seconds() - own_seconds() - self._servers_seconds()

    def sentence(self) -> str:
        took = time.monotonic() - self._began
        others = 100 * (self._others() - self._before) / took / (os.cpu_count() or 1)
        return f"It took {took:.0f} s; other programs had {others:.0f} % of the machine meanwhile."


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment; the difference of two is what happened between them."""

    worker: float = 0.0
    redis: float = 0.0
    postgres: float = 0.0
    commands: float = 0.0
    round_trips: float = 0.0
    at: float = 0.0

    def __sub__(self, earlier: "Reading") -> "Reading":
        names = [field.name for field in fields(self)]
        return Reading(**{name: getattr(self, name) - getattr(earlier, name) for name in names})


def redis_counters(redis: "Redis") -> tuple[int, int]:
    """Commands done, those inside of scripts too, and reads from sockets: round trips."""
    stats: dict[str, Any] = redis.info("commandstats")  # type: ignore[assignment]  # sync or async
    commands = sum(value["calls"] for name, value in stats.items() if name != "cmdstat_info")
    about: dict[str, Any] = redis.info("stats")  # type: ignore[assignment]  # as above
    return commands, about["total_reads_processed"]
