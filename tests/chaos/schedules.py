"""`python -m tests.chaos.schedules`: every tick fires once, whoever is killed, and has one run.

Three workers with twenty schedules are killed, asked to stop, frozen and replaced at random, while
callers start runs by hand; PostgreSQL is away for some seconds, and so is Redis. Exits with 1 when
a tick fired twice, never, or out of order, when a run was lost, or two ran at once that may not.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.beats import BEATS
from tests.chaos.callers import ask_again_and_again
from tests.chaos.fleet import Fleet
from tests.chaos.servers import Postgres, Valkey
from tests.chaos.tick_checks import Ask, Blow
from tests.chaos.tick_log import count_open, keep_log, stop_schedules
from tests.chaos.tick_report import Deeds, reckon
from tests.chaos.world import Background
from tests.saying import say
from worker.migrate import migrate

_WORKERS = 3
_LEASE = 5.0  # seconds
_AWAY = {"postgres": (0.4, 3.0), "valkey": (0.65, 2.0)}  # from which share on, and seconds
_READY_WITHIN = 60  # seconds
_TICK = 0.02  # seconds


@dataclass(frozen=True, slots=True)
class Options:
    """`rest`: seconds in which all runs have to end, when the faults are over."""

    seconds: float
    seed: int
    rest: float


@dataclass(frozen=True, slots=True)
class Place:
    directory: Path
    valkey: Valkey
    postgres: Postgres
    background: Background
    fleet: Fleet


@dataclass(slots=True)
class Faults:
    """What is done to whom, and when next; each undone by the clock."""

    place: Place
    chance: random.Random
    deeds: Deeds
    later: list[tuple[float, str]] = field(default_factory=list)

    def worker(self) -> None:
        """Kill, freeze, or ask to stop, one that works."""
        steady = self.place.fleet.steady()
        if not steady:
            return
        worker, fleet = self.chance.choice(steady), self.place.fleet
        now = time.monotonic_ns()
        match self.chance.choice(("kill", "kill", "stop", "freeze")):
            case "kill":
                fleet.kill(worker)
                self.deeds.kills.append(now)
                self.deeds.blows.append(Blow(worker.name, now, time.monotonic_ns()))
            case "stop":
                fleet.terminate(worker)
                self.deeds.stops += 1
                self.deeds.blows.append(Blow(worker.name, now, now + 30_000_000_000))
            case _:
                fleet.freeze(worker)
                length = self.chance.uniform(0.5, 1.6 * _LEASE)
                self.later.append((time.monotonic() + length, worker.name))

    def thaw(self) -> None:
        """Those whose time is up."""
        due = [name for at, name in self.later if at <= time.monotonic()]
        self.later = [one for one in self.later if one[1] not in due]
        for worker in self.place.fleet.all:
            if worker.name in due and worker.ended is None:
                self.place.fleet.thaw(worker)
                self.deeds.freezes += 1
                self.deeds.blows.append(Blow(worker.name, *worker.stops[-1]))

    def server(self, which: str, seconds: float) -> None:
        """PostgreSQL crashes, or Redis does, and comes back with its data."""
        began = time.monotonic_ns()
        if which == "postgres":
            self.place.postgres.stop(is_immediate=True)
        else:
            self.place.valkey.kill()
        self._pass(seconds)
        (self.place.postgres if which == "postgres" else self.place.valkey).start()
        self.deeds.away.append((which, began, time.monotonic_ns()))

    def _pass(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.place.fleet.tend()
            self.thaw()
            time.sleep(_TICK)


def main() -> int:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="deskhand-schedules-"))
    directory.chmod(0o711)  # PostgreSQL of a root without namespaces runs as nobody
    began = time.monotonic()
    say(f"{options}, in {directory}")
    with _place(directory) as place:
        deeds, asks = _play(place, options)
        report = reckon(place.fleet, place.postgres.url, directory, deeds, asks, lease=_LEASE)
    say(f"{report}\n{time.monotonic() - began:.0f} s in all")
    if report.violations:
        say(f"logs, marks and data are in {directory}")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


@contextmanager
def _place(directory: Path) -> Iterator[Place]:
    for name in ("marks", "starts", "logs", "ticks"):
        (directory / name).mkdir()
    with ExitStack() as stack:
        valkey, postgres, background = Valkey(directory), Postgres(directory), Background()
        stack.callback(background.close)
        stack.callback(valkey.kill)
        valkey.start()
        postgres.start()
        stack.callback(postgres.stop)
        background.run(migrate(postgres.url))
        background.run(keep_log(postgres.url))
        environment = {
            "PATH": os.defpath,
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "VAR_DIR": str(directory / "var"),
            "PORT": "0",
            "RUN_LEASE": f"{_LEASE:g}",
            "SHUTDOWN_GRACE": "2",  # less than some runs take
            "QUEUE_CONCURRENCY": '{"default": 40}',
            "DATABASE_POOL_SIZE": "5",
            "SCHEDULE_DOCUMENTS_FIND_DUE_REPORTS": "off",
            "SCHEDULE_EMAIL_FIND_DUE_REMINDERS": "off",
            # Every record stays, to be counted.
            "KEEP_COMPLETED": "1000000",
            "KEEP_FAILED": "1000000",
        }
        fleet = Fleet(directory, environment, name="beats", app="tests.chaos.beats_app")
        stack.callback(fleet.end)
        yield Place(directory, valkey, postgres, background, fleet)


def _play(place: Place, options: Options) -> tuple[Deeds, list[Ask]]:
    chance = random.Random(options.seed)  # noqa: S311 - a plan that can be played again
    fleet, url, asks = place.fleet, place.postgres.url, list[Ask]()
    fleet.keep(_WORKERS)
    _wait_until_ready(fleet)
    deeds = Deeds(ready=time.monotonic_ns())
    faults = Faults(place, chance, deeds)
    asking = place.background.start(
        ask_again_and_again(url, options.seconds, asks, random.Random(options.seed))  # noqa: S311 - as above
    )
    began = time.monotonic()
    servers = {name: began + share * options.seconds for name, (share, _) in _AWAY.items()}
    next_blow = began + 2
    while (now := time.monotonic()) < began + options.seconds:
        fleet.tend()
        faults.thaw()
        for name in [name for name, at in servers.items() if now >= at]:
            del servers[name]
            faults.server(name, _AWAY[name][1])
        if now >= next_blow:
            faults.worker()
            next_blow = now + chance.uniform(1.5, 5)
        time.sleep(_TICK)
    asking.result(30)
    _come_to_rest(place, faults, options.rest)
    return deeds, asks


def _wait_until_ready(fleet: Fleet) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while not all(worker.is_steady for worker in fleet.all):
        if time.monotonic() > deadline:
            raise TimeoutError("; ".join(worker.last_words() for worker in fleet.all))
        fleet.tend()
        time.sleep(_TICK)


def _come_to_rest(place: Place, faults: Faults, rest: float) -> None:
    """No more faults, no more ticks; what was fired ends."""
    faults.deeds.last = place.background.run(
        stop_schedules(place.postgres.url, [beat.name for beat in BEATS])
    )
    deadline = time.monotonic() + rest
    while time.monotonic() < deadline:
        place.fleet.tend()
        faults.thaw()
        if not faults.later and not place.background.run(count_open(place.postgres.url)):
            break
        time.sleep(0.2)
    place.fleet.end()


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.schedules", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the plan")
    parser.add_argument("--rest", type=float, default=150, help="seconds to end in")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
