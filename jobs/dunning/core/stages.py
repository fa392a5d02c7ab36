"""Which reminder is due, and by which ways it goes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from jobs.messaging.core.channels import CHANNELS, Channel, Choice, choose

Tone = Literal["friendly", "firm", "final"]

MOST_STAGES = 20
# When people expect mail about money.
_OPENS, _WRITES_AT, _CLOSES = time(9), time(10), time(18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """From how many days on an invoice is asked for in this tone, by these channels.

    The fee is fixed, in its currency, or percent of what is open; or there is none.
    """

    position: int
    days_overdue: int
    tone: Tone
    channels: frozenset[Channel]
    fee_amount: Decimal | None = None
    fee_currency: str | None = None
    fee_percent: Decimal | None = None


_MAIL: frozenset[Channel] = frozenset({"email"})
_BOTH: frozenset[Channel] = frozenset({"email", "sms"})
# For tenants that have said nothing. Fees need a contract, so there are none.
DEFAULTS = (
    Stage(position=1, days_overdue=3, tone="friendly", channels=_MAIL),
    Stage(position=2, days_overdue=10, tone="firm", channels=_MAIL),
    Stage(position=3, days_overdue=21, tone="firm", channels=_BOTH),
    Stage(position=4, days_overdue=30, tone="final", channels=_BOTH),
)


def reached(stages: Sequence[Stage], days_overdue: int) -> Stage | None:
    """The last stage that an invoice overdue for so many days has come to.

    >>> reached(DEFAULTS, 20).tone
    'firm'
    """
    come_to = [stage for stage in stages if stage.days_overdue <= days_overdue]
    return max(come_to, key=lambda stage: stage.position, default=None)


def due_stage(stages: Sequence[Stage], *, days_overdue: int, sent: int) -> Stage | None:
    """The stage to send now; `sent` is the position of the last one that was, 0 if none was.

    Days on which nobody looked make no second reminder: stages that were passed over are past.
    """
    stage = reached(stages, days_overdue)
    return stage if stage is not None and stage.position > sent else None


def nearest(stages: Sequence[Stage], days_overdue: int) -> Stage:
    """The stage in whose words somebody is asked so early: the first, before all of them."""
    return reached(stages, days_overdue) or min(stages, key=lambda stage: stage.days_overdue)


def ways(
    wanted: Collection[Channel],
    *,
    preferred: Channel | None,
    usable: Collection[Channel],
    opted_out: Collection[Channel],
) -> Choice:
    """By which channels a stage goes to somebody.

    A stage with both follows their preference. One with a single channel that does not reach them
    goes by the other, but does not follow on the telephone who has unsubscribed from mail.

    >>> ways({"email"}, preferred=None, usable={"sms"}, opted_out=())
    Choice(channels=('sms',), otherwise=None)
    >>> bool(ways({"email"}, preferred=None, usable={"sms"}, opted_out={"email"}))
    False
    """
    if set(wanted) == set(CHANNELS):
        return choose(preferred, consented=wanted, reachable=usable)
    (channel,) = wanted
    others = tuple(one for one in CHANNELS if one != channel and one in usable)
    if channel in usable:
        return Choice((channel,), others[0] if others else None)
    return Choice(() if channel in opted_out else others)


def wait_for_morning(now: datetime, zone: ZoneInfo) -> timedelta | None:
    """How long until people there are at work; None when they are, or are about to."""
    local = now.astimezone(zone)
    if _OPENS <= local.time() < _CLOSES:
        return None
    day = local.date() + timedelta(days=1 if local.time() >= _CLOSES else 0)
    # Between two instants, and not between two readings of the clock.
    wait = datetime.combine(day, _WRITES_AT, tzinfo=zone).timestamp() - now.timestamp()
    return timedelta(seconds=wait)
