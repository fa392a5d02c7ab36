"""`deskhand dead replay|discard|purge`: by ids, or all that a filter finds."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import click

from worker.cli.dead_filter import filter_options, filter_to_change
from worker.cli.tools import FAILED, INTERRUPTED, NOT_FOUND, ago, connected, fail, run_async
from worker.clock import utc_now
from worker.dead_letters import (
    DeadLetterError,
    Filter,
    Replayed,
    Unfit,
    count_dead_letters,
    discard,
    discard_all,
    purge,
    replay_all,
    replay_id,
)
from worker.dead_letters.queries import Db

_EVERY = 1.0  # seconds, between two lines that tell how far it is
_PACE = 100.0  # a second
_IDS = click.argument("dead_letter_ids", type=int, nargs=-1)


@click.command("replay")
@_IDS
@filter_options(has_status=False, is_change=True)
@click.option(
    "--pace",
    type=click.FloatRange(min=0, min_open=True),
    default=_PACE,
    show_default=True,
    help="So many a second, at most.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def replay_(
    *,
    dead_letter_ids: tuple[int, ...],
    is_all: bool,
    is_dry_run: bool,
    pace: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Run them again as new runs: these ids, or all of a filter, oldest first.

    Ctrl-C stops it between two letters; the same command goes on where it was. Any number of people
    may do so at once: each letter runs again once.
    """
    which = filter_to_change(options, is_all=is_all, dead_letter_ids=dead_letter_ids)
    tally = _Tally("replayed", as_json=as_json, is_each_told=which is None)

    async def command() -> None:
        async with connected() as on:
            tally.total = len(dead_letter_ids) if which is None else await _count(on.db, which)
            if is_dry_run:
                return _tell_count(tally.total, "run again", as_json=as_json)
            with _stopping() as stop:
                chosen = list(dead_letter_ids) if which is None else which
                async for done in replay_all(on.db, on.pool, chosen, pace=pace, stop=stop):
                    tally.add(done)
        tally.finish(is_stopped=stop.is_set())
        return None

    run_async(command())


@click.command("discard")
@_IDS
@filter_options(has_status=False, is_change=True, is_reason_taken=True)
@click.option("--reason", "because", required=True, help="Why; it is kept with them.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def discard_(
    *,
    dead_letter_ids: tuple[int, ...],
    is_all: bool,
    is_dry_run: bool,
    because: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Put them away: these ids, or all of a filter."""
    which = filter_to_change(options, is_all=is_all, dead_letter_ids=dead_letter_ids)
    tally = _Tally("discarded", as_json=as_json, is_each_told=which is None)

    async def command() -> None:
        async with connected() as on:
            tally.total = len(dead_letter_ids) if which is None else await _count(on.db, which)
            if is_dry_run:
                return _tell_count(tally.total, "be discarded", as_json=as_json)
            with _stopping() as stop:
                if which is None:
                    for one in dead_letter_ids:
                        tally.add(await _discard_one(on.db, one, because))
                else:
                    await tally.follow(discard_all(on.db, which, reason=because), stop)
        tally.finish(is_stopped=stop.is_set())
        return None

    run_async(command())


@click.command("purge")
@filter_options(has_status=True, is_change=True)
@click.option("--older-than", callback=ago, help="Died so long ago, as in 30d.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def purge_(
    *,
    older_than: timedelta | None,
    is_all: bool,
    is_dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Delete them with their payloads, for good: all of an age, or of a filter."""
    if older_than is not None:
        if options["until"] is not None:
            raise click.UsageError("--older-than and --until say the same")
        options["until"] = utc_now() - older_than
    which = filter_to_change(options, is_all=is_all) or Filter()
    tally = _Tally("purged", as_json=as_json, is_each_told=False)

    async def command() -> None:
        async with connected() as on:
            tally.total = await _count(on.db, which)
            if is_dry_run:
                return _tell_count(tally.total, "be purged", as_json=as_json)
            with _stopping() as stop:
                await tally.follow(purge(on.db, which), stop)
        tally.finish(is_stopped=stop.is_set())
        return None

    run_async(command())


async def _count(db: Db, which: Filter) -> int:
    return await count_dead_letters(db, which)


async def _discard_one(db: Db, dead_letter_id: int, reason: str) -> Replayed:
    try:
        await discard(db, dead_letter_id, reason=reason)
    except DeadLetterError as error:
        return Replayed([], [Unfit(dead_letter_id, error, is_gone=True)])
    return Replayed([dead_letter_id], [])


def _tell_count(number: int, what: str, *, as_json: bool) -> None:
    line = json.dumps({"would": number}) if as_json else f"{number} would {what}"
    click.echo(line)


@dataclass
class _Tally:
    """How far it is; told once a second, and at the end."""

    verb: str
    as_json: bool
    is_each_told: bool
    total: int = 0
    done: int = 0
    unfit: int = 0
    is_all_gone: bool = True
    begun: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def add(self, page: Replayed) -> None:
        """Letters that were handled, and those that could not be: each of these is told."""
        if self.is_each_told:
            for one in page.dead_letter_ids:
                self._tell_one(one)
        for unfit in page.unfit:
            self.is_all_gone = self.is_all_gone and unfit.is_gone
            if self.as_json:
                click.echo(
                    json.dumps({"dead_letter_id": unfit.dead_letter_id, "error": str(unfit)})
                )
            else:
                click.echo(f"{unfit.dead_letter_id}: {unfit}", err=True)
        self.count(len(page.dead_letter_ids))
        self.unfit += len(page.unfit)

    def count(self, number: int) -> None:
        self.done += number
        if not self.as_json and time.monotonic() - self.told >= _EVERY:
            self.told = time.monotonic()
            click.echo(f"{self._so_far()} of {self.total}", err=True)

    async def follow(self, pages: AsyncIterator[int], stop: asyncio.Event) -> None:
        async for number in pages:
            self.count(number)
            if stop.is_set():
                return

    def finish(self, *, is_stopped: bool) -> None:
        """The last line. Exits with 1 or 3 when some could not be handled, 130 when stopped."""
        if self.as_json:
            click.echo(json.dumps({self.verb: self.done, "failed": self.unfit}))
        elif not self.is_each_told:
            click.echo(self._so_far())
        if is_stopped and self.done + self.unfit < self.total:
            fail("stopped; the same command goes on from here", INTERRUPTED)
        if self.unfit:
            fail(f"{self.unfit} failed", NOT_FOUND if self.is_all_gone else FAILED)

    def _so_far(self) -> str:
        pace = self.done / max(time.monotonic() - self.begun, 0.001)
        failed = f", {self.unfit} failed" if self.unfit else ""
        return f"{self.done} {self.verb}{failed}, {pace:.0f} a second"

    def _tell_one(self, dead_letter_id: int) -> None:
        run_id = replay_id(dead_letter_id) if self.verb == "replayed" else None
        if self.as_json:
            fields = {"dead_letter_id": dead_letter_id, "run_id": run_id}
            click.echo(json.dumps({name: value for name, value in fields.items() if value}))
        elif run_id:
            click.echo(f"{dead_letter_id} runs again as {run_id}")
        else:
            click.echo(f"{dead_letter_id} {self.verb}")


@contextmanager
def _stopping() -> Iterator[asyncio.Event]:
    """Ctrl-C and SIGTERM set the event: what is in hand is done before the command ends."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    # Only the main thread of a process has signals.
    with suppress(ValueError, RuntimeError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
    yield stop


CHANGES = (replay_, discard_, purge_)
