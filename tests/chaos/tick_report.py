"""What was seen of schedules amid faults: how late they were, and what should not have been."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from typing_extensions import override

from tests.chaos import marks
from tests.chaos.beats import BEATS
from tests.chaos.fleet import Fleet
from tests.chaos.tick_checks import (
    Ask,
    Blow,
    Fired,
    Last,
    Seen,
    again,
    ask_troubles,
    overlap_troubles,
    run_troubles,
    tick_troubles,
)
from tests.chaos.tick_log import instant, read_fired, read_runs, read_states

_SECOND = 1_000_000_000  # ns
_BACK_WITHIN = 6 * _SECOND  # of PostgreSQL: workers try again every 5 s at the latest
_AFTER_A_KILL = 15 * _SECOND
_LONGEST_GAP = 10.0  # seconds that a tick may be late after a kill, when others live
_SHOWN = 20


@dataclass(slots=True)
class Deeds:
    """What was done; instants are `time.monotonic_ns`."""

    ready: int
    kills: list[int] = field(default_factory=list)
    stops: int = 0
    freezes: int = 0
    blows: list[Blow] = field(default_factory=list)
    away: list[tuple[str, int, int]] = field(default_factory=list)
    last: dict[str, Last] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    lines: Sequence[str]
    violations: Sequence[str]

    @override
    def __str__(self) -> str:
        shown = [f"  {line}" for line in self.violations[:_SHOWN]]
        return "\n".join([*self.lines, f"violations    {len(self.violations)}", *shown])


def reckon(
    fleet: Fleet, url: str, directory: Path, deeds: Deeds, asks: Sequence[Ask], *, lease: float
) -> Report:
    """Everything, when all workers are gone."""
    fired = asyncio.run(read_fired(url))
    enqueued, outcomes = asyncio.run(read_runs(url))
    states = asyncio.run(read_states(url))
    ends = {worker.name: worker.ended or time.monotonic_ns() for worker in fleet.all}
    seen = Seen(
        fired=fired,
        enqueued=enqueued,
        outcomes=outcomes,
        noted=_noted(directory / "ticks"),
        intervals=marks.read_intervals(directory / "marks", ends),
        asks=asks,
        blows=deeds.blows,
        failing={beat.name for beat in BEATS if beat.fails},
    )
    lateness = _Lateness(fired, deeds)
    violations = [*_violations(seen, deeds, lease), *fleet.troubles, *lateness.troubles()]
    violations += [
        f"{run_id}: its schedule says {state}, its last attempt {outcomes.get(run_id)}"
        for run_id, state in states.items()
        if [state] != outcomes.get(run_id, [])[-1:]
    ]
    lines = [*_summary(fleet, seen, deeds), *lateness.lines()]
    return Report([*lines, f"errors logged {dict(fleet.errors())}"], violations)


def _violations(seen: Seen, deeds: Deeds, lease: float) -> Iterable[str]:
    for beat in BEATS:
        if beat.name not in deeds.last:
            yield f"{beat.name}: nobody declared it"
            continue
        yield from tick_troubles(beat.name, beat.schedule, deeds.last[beat.name], seen.fired)
    yield from run_troubles(seen, lease)
    alone = {beat.name for beat in BEATS if not beat.schedule.overlaps}
    yield from overlap_troubles(seen, alone, lease)
    yield from ask_troubles(seen)


def _summary(fleet: Fleet, seen: Seen, deeds: Deeds) -> Iterable[str]:
    fired = Counter(one.schedule for one in seen.fired if not one.is_by_hand)
    by_hand = sum(one.is_by_hand for one in seen.fired)
    missed = {name: last.missed for name, last in deeds.last.items() if last.missed}
    begun_again = sum(len(again(some)) for some in seen.intervals.values())
    yield f"ticks fired   {fired.total()} of {len(fired)} schedules"
    yield f"missed        {missed}"
    yield (
        f"by hand       {by_hand} runs; {len(seen.asks)} times several asked,"
        f" {sum(len(ask.told) for ask in seen.asks)} were told of another,"
        f" {sum(ask.broken for ask in seen.asks)} broke off"
    )
    yield (
        f"workers       {len(fleet.all)} started; {len(deeds.kills)} killed,"
        f" {deeds.stops} asked to stop, {deeds.freezes} frozen"
    )
    yield f"away          {[(who, round((to - at) / 1e9, 1)) for who, at, to in deeds.away]}"
    yield f"begun again   {begun_again} attempts, of {sum(map(len, seen.intervals.values()))}"


class _Lateness:
    """How late ticks were that wait for no run before them: it is the scheduler's own."""

    def __init__(self, fired: Iterable[Fired], deeds: Deeds) -> None:
        overlapping = {beat.name for beat in BEATS if beat.schedule.overlaps}
        offset = time.time_ns() - time.monotonic_ns()
        self._deeds = deeds
        ticks = [one for one in fired if not one.is_by_hand]
        due = [(int(one.due_at.timestamp() * _SECOND) - offset, one) for one in ticks]
        there = [(at, one) for at, one in due if at > deeds.ready and not self._is_away(at)]
        self._free = [(at, one.late.total_seconds()) for at, one in there
                      if one.schedule in overlapping]  # fmt: skip
        short = {beat.name for beat in BEATS if not beat.seconds and not beat.fails}
        self._short = [(at, one.late.total_seconds()) for at, one in there if one.schedule in short]
        self.gap = self._after_a_kill(self._free)

    def lines(self) -> Iterable[str]:
        yield f"late, alone   {_shares([late for _, late in self._free])}"
        yield f"late, behind  {_shares([late for _, late in self._short])}, runs before included"
        yield f"after a kill  {self.gap:.2f} s at most"

    def troubles(self) -> Iterable[str]:
        if self.gap > _LONGEST_GAP:
            yield f"a tick was {self.gap:.1f} s late after a kill"

    def _after_a_kill(self, late: Iterable[tuple[int, float]]) -> float:
        return max(
            (
                seconds
                for at, seconds in late
                if any(-_SECOND < at - kill < _AFTER_A_KILL for kill in self._deeds.kills)
            ),
            default=0,
        )

    def _is_away(self, at: int) -> bool:
        return any(
            began - _SECOND <= at <= ended + _BACK_WITHIN
            for who, began, ended in self._deeds.away
            if who == "postgres"
        )


def _shares(values: Sequence[float]) -> str:
    if not values:
        return "nobody"
    ordered = sorted(values)
    p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"p50 {p50:.3f} s, p99 {p99:.3f} s, at most {ordered[-1]:.3f} s, of {len(ordered)}"


def _noted(folder: Path) -> dict[str, set[datetime]]:
    found: dict[str, set[datetime]] = {}
    for file in folder.iterdir():
        for line in file.read_text().splitlines():
            run_id, due_at = line.split()
            found.setdefault(run_id, set()).add(instant(due_at))
    return found
