"""What a contact in a sequence gets next and when, by which channel, and what ends it.

A sequence may be edited at any time. So nothing is counted by position: the next step is the first,
in the order of now, that the contact has not had, and its delay counts from the step before it in
time, or from the start. Time spent paused does not count.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from jobs.messaging.core.channels import CHANNELS, Channel, Choice, choose
from jobs.messaging.core.suppression import Suppression

Event = Literal["reply", "conversion", "unsubscribe"]
EVENTS: Final[tuple[Event, ...]] = ("reply", "conversion", "unsubscribe")
StepChannel = Literal["email", "sms", "preferred"]
StepState = Literal["sent", "skipped", "suppressed"]
EndReason = Literal["reply", "conversion", "unsubscribe", "consent_withdrawn", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`delay` is since the step before, or since the start. `personalise`: a model may say the
    opening of its mail in other words.
    """

    step_id: UUID
    delay: timedelta
    channel: StepChannel
    template: str
    personalise: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """A step, and when it is due."""

    step: Step
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What decides whether, and by which channel, a contact may be written to.

    `addressed` are the channels for which there is a valid address, suppressed or not.
    """

    preferred: Channel | None
    consented: frozenset[Channel]
    addressed: frozenset[Channel]
    suppressed: Mapping[Channel, Suppression]

    @property
    def reachable(self) -> frozenset[Channel]:
        return self.addressed - self.suppressed.keys()

    @property
    def usable(self) -> frozenset[Channel]:
        """Agreed to, and reachable."""
        return self.consented & self.reachable


def next_due(steps: Sequence[Step], done: Collection[UUID], *, counts_from: datetime) -> Due | None:
    """The first step, in this order, that is not done; None when all are.

    `counts_from` is when the last step was done, or the start, later by what was spent paused.
    """
    for step in steps:
        if step.step_id not in done:
            return Due(step, counts_from + step.delay)
    return None


def counts_from_after_pause(
    counts_from: datetime, *, paused_at: datetime, resumed_at: datetime
) -> datetime:
    """Later by the time spent paused. A step that was just leaving may have ended in the pause."""
    paused = resumed_at - max(paused_at, counts_from)
    return counts_from + max(paused, timedelta(0))


def end_reason(
    standing: Standing,
    *,
    exit_on: Collection[str],
    started_at: datetime,
    replied_at: datetime | None,
) -> EndReason | None:
    """Why there is no further step for a contact; None when there may be one.

    `replied_at` is the newest reply.
    """
    if any(one.is_wish and one.since >= started_at for one in standing.suppressed.values()):
        return "unsubscribe"
    if "reply" in exit_on and replied_at is not None and replied_at >= started_at:
        return "reply"
    if not standing.consented:
        return "consent_withdrawn"
    wished = {channel for channel, one in standing.suppressed.items() if one.is_wish}
    if standing.consented <= wished:
        return "unsubscribe"
    return None


def is_exit(event: Event, exit_on: Collection[str]) -> bool:
    """Does this end the sequence? To unsubscribe always does."""
    return event == "unsubscribe" or event in exit_on


def route(channel: StepChannel, standing: Standing, *, offered: Collection[Channel]) -> Choice:
    """By which channels a step leaves, of those that its template has words for.

    A step's own channel is as the contact's preferred one: the other takes its place where that
    cannot be.
    """
    preferred = standing.preferred if channel == "preferred" else channel
    usable = standing.usable & frozenset(offered)
    return choose(preferred, consented=usable, reachable=usable)


def skip_reason(standing: Standing, *, offered: Collection[Channel]) -> str:
    """Why a step has no way out, as metrics name it."""
    wanted = standing.consented & frozenset(offered)
    if not wanted:
        return "no_consent"
    return "no_address" if not wanted & standing.addressed else "suppressed"


def in_order(channels: Collection[Channel], *, waiting: Collection[Channel]) -> list[Channel]:
    """Those that have to wait come last."""
    return sorted((one for one in CHANNELS if one in channels), key=lambda one: one in waiting)
