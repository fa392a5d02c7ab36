"""`python -m tests.benchmarks.mail`: mails a second to aiosmtpd, and whether memory stays flat.

    plain   aiosmtplib as its manual shows it: one connection, an EmailMessage for each mail
    bytes   the same, with one mail's bytes sent again and again: nothing is written
    smtp    our provider alone, from as many coroutines as the worker has slots
    worker  the whole way: a worker process drains runs of a job that sends a mail, each claimed
            and marked in PostgreSQL

The relay is aiosmtpd in processes that share a port, next door or some milliseconds away; with and
without PIPELINING, which it can and does not offer by itself. Everything is measured in turn, again
and again; figures are medians of the rounds. Of the worker every mail is checked to have arrived
once. A second part sends mails with an attachment and looks at the worker's memory only. Linux
only. Exits with 1 when the worker sends less than three times as many mails as the plain loop, or
when its memory grows.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import aiosmtplib

from clients.smtp import Smtp, SmtpSettings
from tests.benchmarks.loop import run
from tests.benchmarks.mail_servers import Relay, Worker, mail_relay, mail_worker
from tests.benchmarks.measure import Busyness, cpu_seconds
from tests.benchmarks.peers.mail_job import NAME, SENDER, bench_mail, plain_message, recipient
from tests.benchmarks.servers import Servers, running_servers
from tests.saying import say
from worker.clock import utc_now
from worker.enqueuer import create_pool
from worker.migrate import migrate

_TEMPLATE = "mail"
_WITHIN = 300.0  # seconds
_LONGEST = 8.0  # seconds of a plain loop
_WARM_UP = 200  # mails
_LEAST = 3.0  # times the plain loop
_FLAT = 0.5  # KB a mail
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sent:
    """Mails a second; microseconds of CPU time for each, of the sender and of all; its memory.

    All are the sender, aiosmtpd, PostgreSQL and Valkey: what bounds a machine with few cores.
    Megabytes after a quarter of the mails and at the end; kilobytes a mail between the two.
    """

    rate: float
    cpu: float
    all_cpu: float
    memory: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a measurement takes place."""

    servers: Servers
    directory: Path
    relay: Relay
    slots: int

    def other_seconds(self) -> float:
        """CPU time of all but the sender."""
        return self.servers.cpu_seconds() + sum(map(cpu_seconds, self.relay.pids))


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="deskhand-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL of a root without namespaces runs as nobody
        with running_servers(directory) as servers:
            busyness = Busyness(servers.cpu_seconds)
            asyncio.run(migrate(servers.create_database(_TEMPLATE)))
            verdicts = [
                _throughput(servers, directory, options, delay, offers_pipelining=offers)
                for delay, offers in itertools.product(options.delays, (False, True))
            ]
            if options.octets:
                verdicts.append(_memory(servers, directory, options))
            say(busyness.sentence())
    return int(not all(verdicts))


def _throughput(
    servers: Servers,
    directory: Path,
    options: argparse.Namespace,
    delay: float,
    *,
    offers_pipelining: bool,
) -> bool:
    """True when the worker reaches its target."""
    rounds: dict[str, list[Sent]] = {name: [] for name in ("plain", "bytes", "smtp", "worker")}
    with mail_relay(
        directory, processes=options.relays, delay=delay, offers_pipelining=offers_pipelining
    ) as relay:
        place = Place(servers, directory, relay, options.slots)
        kinds: dict[str, Callable[[], Sent]] = {
            "plain": lambda: run(_plain(place, options.mails, is_written=True)),
            "bytes": lambda: run(_plain(place, options.mails, is_written=False)),
            "smtp": lambda: run(_smtp(place, options.mails)),
            "worker": lambda: _worker(place, options.mails, 0),
        }
        for number in range(options.rounds):
            for name in sorted(kinds, reverse=bool(number % 2)):
                rounds[name].append(kinds[name]())
    say(
        f"\n{options.mails:,} mails to {options.relays} aiosmtpd, {2 * delay:g} ms there and back, "
        f"{'with' if offers_pipelining else 'without'} PIPELINING"
    )
    say("            a second   x plain   x bytes   CPU us   of all")
    medians = {
        name: statistics.median(one.rate for one in several) for name, several in rounds.items()
    }
    for name, several in rounds.items():
        rate, cpu = medians[name], statistics.median(one.cpu for one in several)
        all_cpu = statistics.median(one.all_cpu for one in several)
        say(
            f"{name:10}{rate:10,.0f}{rate / medians['plain']:10.2f}"
            f"{rate / medians['bytes']:10.2f}{cpu:9,.0f}{all_cpu:9,.0f}"
        )
    _say_memory(rounds["worker"])
    return medians["worker"] >= _LEAST * medians["plain"] and _is_flat(rounds["worker"])


def _memory(servers: Servers, directory: Path, options: argparse.Namespace) -> bool:
    with mail_relay(directory, processes=options.relays, delay=0, offers_pipelining=True) as relay:
        place = Place(servers, directory, relay, options.slots)
        sent = _worker(place, options.mails, options.octets)
    say(f"\n{options.mails:,} mails with {options.octets:,} octets attached: {sent.rate:,.0f}/s")
    _say_memory([sent])
    return _is_flat([sent])


def _say_memory(several: list[Sent]) -> None:
    for sent in several:
        if sent.memory is not None:
            first, last, slope = sent.memory
            say(f"memory of the worker {first:.1f} to {last:.1f} MB, {slope:+.2f} KB a mail")


def _is_flat(several: list[Sent]) -> bool:
    slopes = [sent.memory[2] for sent in several if sent.memory is not None]
    return statistics.median(slopes) <= _FLAT


async def _plain(place: Place, mails: int, *, is_written: bool) -> Sent:
    """For some seconds at most: far away it takes minutes."""
    connection = aiosmtplib.SMTP(
        hostname="127.0.0.1", port=place.relay.port, start_tls=False, timeout=_WITHIN
    )
    await connection.connect()
    same = bytes(plain_message(0, 0))
    began, cpu, others, number = perf_counter(), process_time(), place.other_seconds(), 0
    while number < mails and perf_counter() - began < _LONGEST:
        if is_written:
            await connection.send_message(plain_message(number, 0))
        else:
            await connection.sendmail(SENDER.address, [recipient(number)], same)
        number += 1
    took, cpu = perf_counter() - began, process_time() - cpu
    others = place.other_seconds() - others
    await connection.quit()
    return Sent(number / took, cpu / number * 1e6, (cpu + others) / number * 1e6)


async def _smtp(place: Place, mails: int) -> Sent:
    settings = SmtpSettings(host="127.0.0.1", port=place.relay.port, security="none")
    smtp = Smtp(settings, sender=SENDER, clock=utc_now)
    numbers = iter(range(mails))

    async def one() -> None:
        for number in numbers:
            await smtp.send(bench_mail(number, 0), message_id=f"<{number}@deskhand.example>")

    began, cpu, others = perf_counter(), process_time(), place.other_seconds()
    async with asyncio.timeout(_WITHIN):
        await asyncio.gather(*(one() for _ in range(place.slots)))
    took, cpu = perf_counter() - began, process_time() - cpu
    others = place.other_seconds() - others
    await smtp.aclose()
    return Sent(mails / took, cpu / mails * 1e6, (cpu + others) / mails * 1e6)


def _worker(place: Place, mails: int, octets: int) -> Sent:
    """Raises SystemExit unless each mail arrived once."""
    place.servers.empty()
    url = place.servers.fresh_database(_TEMPLATE)
    place.relay.received.write_text("")
    with mail_worker(
        place.servers,
        url,
        place.directory,
        place.relay.port,
        slots=place.slots,
        capacity=mails + _WARM_UP,
    ) as worker:
        numbers = range(mails, mails + _WARM_UP)
        run(_enqueue(place.servers.redis_url, numbers, octets))
        _wait(worker, _WARM_UP)
        worker.tallies.mark()
        cpu, others = cpu_seconds(worker.pid), place.other_seconds()
        run(_enqueue(place.servers.redis_url, range(mails), octets))
        memory = _memory_while(worker, mails)
        cpu, others = cpu_seconds(worker.pid) - cpu, place.other_seconds() - others
        noted = worker.tallies.noted()
    took = max(one.ended for one in noted) - min(one.begun for one in noted)
    counted = place.relay.counted()
    if (
        sorted(counted) != sorted(map(recipient, range(mails + _WARM_UP)))
        or max(counted.values()) > 1
    ):
        raise SystemExit(f"{len(counted)} mails arrived, one {max(counted.values())} times")
    return Sent(mails / took, cpu / mails * 1e6, (cpu + others) / mails * 1e6, memory)


async def _enqueue(redis_url: str, numbers: range, octets: int) -> None:
    pool = await create_pool(redis_url)
    await pool.enqueue_many(NAME, [{"number": number, "octets": octets} for number in numbers])
    await pool.aclose()


def _wait(worker: Worker, mails: int) -> None:
    for _ in _glances():
        if worker.tallies.count() >= mails:
            return


def _memory_while(worker: Worker, mails: int) -> tuple[float, float, float]:
    """Until all are sent. The slope is that of the line of least squares behind a quarter."""
    seen: list[tuple[int, float]] = []
    for _ in _glances():
        count = worker.tallies.count()
        seen.append((count, worker.megabytes()))
        if count >= mails:
            break
    late = [one for one in seen if one[0] >= mails / 4]
    counts, megabytes = zip(*(late if len({one[0] for one in late}) > 1 else seen), strict=True)
    slope = statistics.linear_regression(counts, megabytes).slope
    return megabytes[0], megabytes[-1], slope * 1e3


def _glances() -> Iterator[None]:
    """Every tenth of a second. Raises SystemExit when it takes too long."""
    end = time.monotonic() + _WITHIN
    while time.monotonic() < end:
        yield
        time.sleep(0.1)
    raise SystemExit(f"it took over {_WITHIN:.0f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.mail",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mails", type=int, default=5_000, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--relays", type=int, default=2, help="processes of aiosmtpd")
    parser.add_argument("--slots", type=int, default=20, help="mails at once")
    parser.add_argument("--delays", type=float, nargs="*", default=[0, 2.5, 10], help="ms each way")
    parser.add_argument(
        "--octets", type=int, default=100_000, help="of attachment; 0: no such part"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
