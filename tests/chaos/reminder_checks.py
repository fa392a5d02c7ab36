"""Who had to be reminded, from what was done and when; counted without the code that is looked at.

Instants of the play are datetimes; instants of the machine are `time.monotonic_ns`.
"""

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from itertools import groupby
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.chaos.reminder_plan import UNREACHABLE, Booking, Channel

Kind = Literal["24h", "3h"]
_LEADS: Mapping[Kind, timedelta] = {"24h": timedelta(hours=24), "3h": timedelta(hours=3)}
_QUIET_FROM, _QUIET_TO = time(21), time(8)
_DOMAIN = "ours.example"
# Between looking at an appointment and handing its message over, which may wait for a connection of
# four to the relay: what nobody can call back.
_ON_ITS_WAY = 10_000_000_000  # ns


_HANDED_ON = frozenset({"rejected", "poison"})  # why a person has to look


@dataclass(frozen=True, slots=True)
class Scanned:
    """A step: the clock stood at `now` while all that was due was done, from `begin` to `end`.

    `scanned` is when its scans were over, `due` the latest instant that one of them was due.
    """

    now: datetime
    due: datetime | None
    begin: int
    scanned: int
    end: int


@dataclass(frozen=True, slots=True)
class Change:
    """An appointment is something else, from some moment between `begin` and `end` on."""

    begin: int
    end: int
    status: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Arrived:
    channel: str
    at: int
    message_id: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Expected:
    """A message: it had to be sent, or it may have been, because something changed meanwhile."""

    booking: Booking
    kind: Kind
    starts_at: datetime
    channel: Channel
    is_certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """`statuses` of deliveries by message id, `dead` reasons by run id, reminder fields by
    appointment: start, 24h, 3h.
    """

    bookings: Sequence[Booking]
    steps: Sequence[Scanned]
    changes: Mapping[UUID, Sequence[Change]]
    arrived: Sequence[Arrived]
    statuses: Mapping[str, str]
    dead: Mapping[str, str]
    fields: Mapping[UUID, tuple[datetime, datetime | None, datetime | None]]


@dataclass(slots=True)
class Verdict:
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def message_id(booking: Booking, kind: Kind, starts_at: datetime, channel: Channel) -> str:
    """As it is promised to be: from the tenant, the appointment, the time, and the recipient."""
    start = starts_at.isoformat()
    key = f"appointment_reminder:{booking.appointment_id}:{kind}:{start}:{channel}"
    recipient = booking.email if channel == "email" else booking.phone
    text = f"{booking.tenant_id}\n{key}\n{recipient}"
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return digest if channel == "sms" else f"<{digest}@{_DOMAIN}>"


def quiet_until(now: datetime, zone: str) -> datetime | None:
    """Found by looking at each minute, as somebody with a watch would."""
    there = ZoneInfo(zone)
    clock = now.astimezone(there).time()
    if _QUIET_TO <= clock < _QUIET_FROM:
        return None
    minute = now.replace(second=0, microsecond=0)
    while not _QUIET_TO <= minute.astimezone(there).time() < _QUIET_FROM:
        minute += timedelta(minutes=1)
    return minute


def expected_messages(seen: Seen) -> dict[str, Expected]:
    """By message id; what is not among them must not have been sent."""
    found: dict[str, Expected] = {}
    for kind in _LEADS:
        windows = list(_windows(seen.steps, kind))
        ends = [end for _, end, _ in windows]
        for booking in seen.bookings:
            history = seen.changes.get(booking.appointment_id, ())
            for start in sorted({booking.starts_at, *(one.starts_at for one in history)}):
                place = bisect_left(ends, start + timedelta(microseconds=1))
                if place < len(windows) and windows[place][0] <= start:
                    for one in _of(booking, history, kind, start, seen.steps, windows[place][2]):
                        _add(found, one)
    return found


def _add(found: dict[str, Expected], one: Expected) -> None:
    """Two runs may end in one message: it is certain when one of them is."""
    id_ = message_id(one.booking, one.kind, one.starts_at, one.channel)
    if id_ not in found or one.is_certain:
        found[id_] = one


def _windows(steps: Sequence[Scanned], kind: Kind) -> Iterator[tuple[datetime, datetime, int]]:
    """Which starts each step's scans had to find: from where the last ones ended."""
    until: datetime | None = None
    for number, step in enumerate(steps):
        if step.due is None:
            continue
        end = min(step.due, step.now) + _LEADS[kind]
        begin = until or end - timedelta(hours=1)
        if begin < end:
            yield begin, end, number
            until = end


def _of(
    booking: Booking,
    history: Sequence[Change],
    kind: Kind,
    start: datetime,
    steps: Sequence[Scanned],
    number: int,
) -> Iterator[Expected]:
    step = steps[number]
    if _deadline(kind, start) <= step.now or not booking.consented:
        return
    is_found = _state_at(booking, history, step.begin) == ("confirmed", start)
    is_in_doubt = any(one.begin <= step.scanned and one.end >= step.begin for one in history)
    if not is_found and not is_in_doubt:
        return
    for channel in _chosen(booking):
        for taken, sent in _routes(booking, channel, _deadline(kind, start), steps, number):
            is_calm = not any(
                one.begin <= steps[sent].end and one.end >= step.begin for one in history
            )
            yield Expected(booking, kind, start, taken, is_found and is_calm)


def _deadline(kind: Kind, start: datetime) -> datetime:
    """Nobody hears of an appointment a day before when the time has come for three hours before."""
    return start - _LEADS["3h"] if kind == "24h" else start


def _chosen(booking: Booking) -> list[Channel]:
    if booking.preferred in booking.consented:
        return [booking.preferred] if booking.preferred else []
    return sorted(booking.consented)


def _routes(
    booking: Booking, channel: Channel, deadline: datetime, steps: Sequence[Scanned], number: int
) -> Iterator[tuple[Channel, int]]:
    """By which channel a run's message leaves, and in which step; before the deadline, or never."""
    if channel == "email":
        yield "email", number
        return
    until = quiet_until(steps[number].now, booking.zone)
    if until is not None and until < deadline:
        later = next((at for at in range(number, len(steps)) if steps[at].now >= until), None)
        if later is not None and steps[later].now < deadline:
            yield from _routes(booking, channel, deadline, steps, later)
    elif until is None and booking.phone != UNREACHABLE:
        yield "sms", number
    elif "email" in booking.consented:
        yield "email", number


def _state_at(booking: Booking, history: Sequence[Change], at: int) -> tuple[str, datetime]:
    before = [one for one in history if one.end <= at]
    if not before:
        return booking.status, booking.starts_at
    return before[-1].status, before[-1].starts_at


def judge(seen: Seen) -> Verdict:
    """Everything that should not have been, and how much there was of what."""
    verdict = Verdict()
    expected = expected_messages(seen)
    arrived = Counter(one.message_id for one in seen.arrived)
    for id_, number in arrived.items():
        if number > 1:
            verdict.violations.append(f"{id_} arrived {number} times")
        if id_ not in expected:
            verdict.violations.append(f"{id_} arrived, and was not due")
    for id_, one in expected.items():
        _judge_message(verdict, seen, id_, one, is_there=id_ in arrived)
    for late in seen.arrived:
        if late.message_id in expected:
            _judge_moment(verdict, seen, expected[late.message_id], late)
    _judge_fields(verdict, seen, expected, arrived)
    _judge_dead(verdict, seen)
    return verdict


def _judge_dead(verdict: Verdict, seen: Seen) -> None:
    """What is in doubt is a dead letter, and nothing else is."""
    reasons = Counter(seen.dead.values())
    verdict.counts.update({f"dead letters: {reason}": n for reason, n in reasons.items()})
    # Of SMS the next attempt asks, unless its appointment is off by then.
    mails = [status for id_, status in seen.statuses.items() if id_.startswith("<")]
    in_doubt = mails.count("unconfirmed")
    if reasons.total() < in_doubt:
        verdict.violations.append(f"{in_doubt} messages in doubt, {reasons} dead letters")
    others = [run_id for run_id, reason in seen.dead.items() if reason not in _HANDED_ON]
    if others:
        verdict.violations.append(f"dead of something else: {others[:5]}")


def _judge_message(
    verdict: Verdict, seen: Seen, id_: str, one: Expected, *, is_there: bool
) -> None:
    status = seen.statuses.get(id_)
    is_told = status == "unconfirmed"
    how = "certain" if one.is_certain else "changed meanwhile"
    what = f"{one.kind} by {one.channel}, {how}: {'arrived' if is_there else 'none'}"
    verdict.counts[f"{what}, {status or 'no delivery'}"] += 1
    whom = f"{one.booking.appointment_id} at {one.starts_at}, {one.kind} by {one.channel}"
    if not one.is_certain:
        return
    if (one.channel == "email" and is_told) or _is_poisoned(seen, one):
        return  # a person has to look, and is told so
    if not is_there:
        verdict.violations.append(f"{whom}: never arrived ({status})")
    elif status != "sent":
        verdict.violations.append(f"{whom}: arrived, and is {status}")


def _is_poisoned(seen: Seen, one: Expected) -> bool:
    """Three workers were killed with its run in hand: nobody tries a fourth time."""
    part = f":{one.booking.appointment_id}:{one.kind}:"
    return any(reason == "poison" and part in run_id for run_id, reason in seen.dead.items())


def _judge_moment(verdict: Verdict, seen: Seen, one: Expected, arrived: Arrived) -> None:
    """Nothing leaves for an appointment that is not (any more) as it was."""
    state = one.booking.status, one.booking.starts_at
    since = 0
    for change in seen.changes.get(one.booking.appointment_id, ()):
        if change.end + _ON_ITS_WAY < arrived.at:
            state, since = (change.status, change.starts_at), change.end
        elif change.begin < arrived.at:
            return  # it happened while the message was on its way
    if state != ("confirmed", one.starts_at):
        late = (arrived.at - since) / 1e9
        verdict.violations.append(
            f"{one.booking.appointment_id}: {one.kind} for {one.starts_at} arrived {late:.1f} s"
            f" after it was {state[0]}, {state[1]}"
        )


def _judge_fields(
    verdict: Verdict, seen: Seen, expected: Mapping[str, Expected], arrived: Mapping[str, int]
) -> None:
    """A field is set if, and only if, a message of its kind is known to have left."""
    left: Counter[tuple[UUID, Kind, datetime]] = Counter()
    for id_, one in expected.items():
        if seen.statuses.get(id_) == "sent" and id_ in arrived:
            left[one.booking.appointment_id, one.kind, one.starts_at] += 1
    for booking in seen.bookings:
        start, *fields = seen.fields[booking.appointment_id]
        moves = [one.starts_at for one in seen.changes.get(booking.appointment_id, ())]
        starts = [one for one, _ in groupby([booking.starts_at, *moves])]
        was_back = starts.count(start) > 1
        for kind, value in zip(_LEADS, fields, strict=True):
            has_left = left[booking.appointment_id, kind, start] > 0
            verdict.counts[f"field {kind}: {'set' if value else 'not set'}"] += 1
            # Moved away and back: what was sent for that time is not forgotten, its field is.
            if has_left != (value is not None) and not (was_back and has_left):
                verdict.violations.append(
                    f"{booking.appointment_id}: the field of {kind} is {value},"
                    f" {'a' if has_left else 'no'} message left"
                )
