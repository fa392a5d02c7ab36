"""What has to hold of ticks and their runs, from what was seen of them. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from jobs.kit import Cron, Every, OnDemand, Schedule
from tests.chaos.marks import Interval

_MINUTE = timedelta(minutes=1)
_SECOND = 1_000_000_000  # ns
# In which a worker that something happens to may have told of an end that it saw.
_SOON = 2 * _SECOND
_SLACK = timedelta(seconds=1)
_POISON = 3
_FINAL = frozenset({"succeeded", "cancelled", "dead", "expired"})


@dataclass(frozen=True, slots=True)
class Fired:
    """A tick that fired, or a run by hand, as it was written."""

    schedule: str
    due_at: datetime
    fired_at: datetime
    run_id: str
    is_by_hand: bool

    @property
    def late(self) -> timedelta:
        return self.fired_at - self.due_at


@dataclass(frozen=True, slots=True)
class Last:
    """A schedule when it was stopped: what is due before `next_due_at` is dealt with."""

    anchor_at: datetime
    next_due_at: datetime | None
    missed: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Callers who asked for a run at once: who got one, and which run the others were told."""

    schedule: str
    seconds: float
    started: Sequence[str]
    told: Sequence[str]
    broken: int  # nobody knows what became of these


@dataclass(frozen=True, slots=True)
class Blow:
    """Something done to a worker; instants are `time.monotonic_ns`."""

    worker: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything about all schedules. `outcomes` has each attempt's, `noted` the instant that an
    attempt was told it was due, both by run.
    """

    fired: Sequence[Fired]
    enqueued: Sequence[str]
    outcomes: Mapping[str, Sequence[str]]
    noted: Mapping[str, Collection[datetime]]
    intervals: Mapping[str, Sequence[Interval]]
    asks: Sequence[Ask] = ()
    blows: Sequence[Blow] = ()
    failing: Collection[str] = field(default_factory=frozenset)


def expected(schedule: Schedule, anchor: datetime, before: datetime) -> list[datetime]:
    """Every tick until then, counted without the code that is looked at."""
    match schedule:
        case Every(seconds=int(seconds)):
            first, step = anchor, timedelta(seconds=seconds)
        case Cron(line="* * * * *"):
            first, step = anchor.replace(second=0, microsecond=0) + _MINUTE, _MINUTE
        case OnDemand():
            return []
        case _:
            raise ValueError(f"nobody has counted the ticks of {schedule}")
    number = max(0, -((first - before) // step))
    return [first + at * step for at in range(number) if first + at * step < before]


def tick_troubles(
    name: str, schedule: Schedule, last: Last, fired: Iterable[Fired]
) -> Iterator[str]:
    """Of one schedule: every tick fired once, or is one of those that its policy leaves out."""
    ticks = [one for one in fired if one.schedule == name and not one.is_by_hand]
    due = [one.due_at for one in ticks]
    before = last.next_due_at or datetime.min.replace(tzinfo=UTC)
    wanted = expected(schedule, last.anchor_at, before)
    twice = [str(at) for at, times in Counter(due).items() if times > 1]
    if twice:
        yield f"{name}: fired twice: {twice[:3]}"
    if any(after <= ahead for ahead, after in pairwise(due)):
        yield f"{name}: fired out of order"
    wrong = sorted(set(due) - set(wanted))
    if wrong:
        yield f"{name}: fired though not due: {[str(at) for at in wrong[:3]]}"
    if len(due) + last.missed != len(wanted):
        yield f"{name}: {len(due)} fired and {last.missed} missed of {len(wanted)}"
    if any(one.fired_at < one.due_at for one in ticks):
        yield f"{name}: fired too early"
    longest = {"latest": None, "all": timedelta(seconds=schedule.window), "skip": _MINUTE}
    allowed = longest[schedule.catch_up]
    if allowed is not None:
        yield from _lateness_troubles(name, schedule, ticks, wanted, allowed)


def _lateness_troubles(
    name: str,
    schedule: Schedule,
    ticks: Sequence[Fired],
    wanted: Sequence[datetime],
    allowed: timedelta,
) -> Iterator[str]:
    if any(one.late > allowed + _SLACK for one in ticks):
        yield f"{name}: fired later than {allowed}"
    if schedule.catch_up != "all":
        return
    times = {one.due_at: one.fired_at for one in ticks}
    looked = max((one.fired_at for one in ticks), default=None)
    for at in wanted:
        if at in times:
            looked = times[at]
        # Left out by whoever fired the one behind it, who may only do so to what is too old.
        later = next((times[tick] for tick in wanted if tick > at and tick in times), looked)
        if at not in times and (later is None or later - at < allowed):
            yield f"{name}: {at} never fired"
            return


def run_troubles(seen: Seen, lease: float) -> Iterator[str]:
    """Each tick has one run, which ended once, and was begun again only with a reason."""
    ids = [one.run_id for one in seen.fired]
    yield from _differences("ticks without a run", set(ids) - set(seen.enqueued))
    yield from _differences("runs without a tick", set(seen.enqueued) - set(ids))
    yield from _differences("begun without a tick", set(seen.intervals) - set(ids))
    for run_id, times in Counter(seen.enqueued).items():
        if times > 1:
            yield f"{run_id}: enqueued {times} times"
    for one in seen.fired:
        final = [outcome for outcome in seen.outcomes.get(one.run_id, ()) if outcome in _FINAL]
        ending = "dead" if one.schedule in seen.failing else "succeeded"
        if final != [ending] and not (final == ["dead"] and _is_poison(seen, one.run_id)):
            yield f"{one.run_id}: ended {final}, not {ending}"
        noted = set(seen.noted.get(one.run_id, ()))
        if noted != {one.due_at}:
            yield f"{one.run_id}: due at {one.due_at}, its attempts were told {noted}"
        for pair in again(seen.intervals.get(one.run_id, ())):
            if not _is_excused(*pair, seen.blows, lease):
                yield f"{one.run_id}: begun again without a cause: {pair[0]}; {pair[1]}"


def _is_poison(seen: Seen, run_id: str) -> bool:
    """Three workers ended that had it in hand: no more try it."""
    return len(again(seen.intervals.get(run_id, ()))) >= _POISON - 1


def again(intervals: Sequence[Interval]) -> list[tuple[Interval, Interval]]:
    """An attempt that was begun more than once, each time with the time before."""
    return [(one, two) for one, two in pairwise(intervals) if one.attempt == two.attempt]


def overlap_troubles(seen: Seen, alone: Collection[str], lease: float) -> Iterator[str]:
    """No two runs at once of a schedule that has one at a time, whoever started them."""
    names = {one.run_id: one.schedule for one in seen.fired}
    by_name: dict[str, list[Interval]] = {}
    for run_id, intervals in seen.intervals.items():
        name = names.get(run_id, "")
        if name in alone:
            by_name.setdefault(name, []).extend(_as_held(intervals, seen.blows, lease))
    for intervals in by_name.values():
        intervals.sort(key=lambda one: one.begin)
        for one, two in pairwise(intervals):
            if two.begin < one.end:
                yield f"at once: {one.run_id} {one}; {two.run_id} {two}"


def ask_troubles(seen: Seen) -> Iterator[str]:
    """Of those who ask at once one gets the run, and the others are told which goes on."""
    order: dict[str, list[str]] = {}
    for one in seen.fired:
        order.setdefault(one.schedule, []).append(one.run_id)
    for ask in seen.asks:
        runs = order.get(ask.schedule, [])
        yield from _differences("asked for, and not there", {*ask.started, *ask.told} - set(runs))
        is_at_once = ask.seconds < 0.5 and not ask.broken
        if is_at_once and len(ask.started) > 1:
            yield f"{ask.schedule}: several callers got a run: {ask.started}"
        # Or of the run before it, which ended while they asked.
        first = runs.index(ask.started[0]) if ask.started and ask.started[0] in runs else None
        if is_at_once and first is not None and set(ask.told) - {*runs[max(first - 1, 0) :][:2]}:
            yield f"{ask.schedule}: {ask.started[0]} began, others were told of {set(ask.told)}"
        if is_at_once and not ask.started and len(set(ask.told)) > 2:
            yield f"{ask.schedule}: nobody got a run, and they were told {set(ask.told)}"


def _as_held(
    intervals: Iterable[Interval], blows: Iterable[Blow], lease: float
) -> Iterator[Interval]:
    """A worker that was frozen for longer than its lease has lost its runs, and may not know."""
    for one in intervals:
        lost = [
            blow.begin
            for blow in blows
            if blow.worker == one.worker
            and one.begin <= blow.begin < one.end
            and blow.end - blow.begin > lease * 0.5 * _SECOND
        ]
        yield replace(one, end=min([one.end, *lost]))


def _is_excused(first: Interval, second: Interval, blows: Iterable[Blow], lease: float) -> bool:
    """Was something done to the worker before it could tell of the end?"""
    return any(
        blow.worker == first.worker
        and blow.begin <= min(first.end + _SOON, second.begin + int(lease * _SECOND))
        and first.begin <= blow.end
        for blow in blows
    )


def _differences(what: str, ids: Collection[str]) -> Iterator[str]:
    if ids:
        yield f"{what}: {len(ids)} {sorted(ids)[:3]}"
