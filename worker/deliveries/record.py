"""What is remembered of a message, and what follows from it.

A row in `deliveries` is committed right before the step that cannot be undone, so whoever comes
later knows:

    (none) ──► sending ──► sent                         handed over
                  │  ├───► (none)                       the provider was away; try again
                  │  ├───► rejected                     refused for good
                  │  └───► unconfirmed                  handed over, no answer: perhaps sent
                  └─ interrupted here: `sending` stays, and the next attempt finds it

Whether a message in doubt arrived, some providers can be asked (`finds`), and some tell later
(`reports`). With the others a person looks, and replays the run. When a run is over without having
found out (it was cancelled, say), `settling` asks, or else calls the message `doubtful`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from jobs.kit import Run

NOBODY = UUID(int=0)  # the tenant of what belongs to none
ABANDONED_AFTER = timedelta(minutes=5)  # longer than any provider may take
LOOK_AGAIN_AFTER = timedelta(seconds=30)
# What a provider took may be listed a moment later, and reported some minutes later.
LISTED_AFTER = timedelta(seconds=30)
REPORTED_WITHIN = timedelta(minutes=10)
TAKEN_WITHIN = timedelta(minutes=5)  # after it was claimed, if ever
IN_DOUBT = frozenset({"sending", "unconfirmed", "doubtful"})

Verdict = Literal["send", "wait", "look", "already_sent", "unconfirmed"]


class Provider(Protocol):
    """What matters about a provider where a message is in doubt."""

    @property
    def name(self) -> str: ...
    @property
    def is_repeatable(self) -> bool: ...
    @property
    def finds(self) -> bool: ...
    @property
    def reports(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one recipient: the row's key, and what the row says about it."""

    tenant_id: UUID
    key: str
    recipient: str
    channel: str
    template: str
    template_version: str
    provider: str
    message_id: str
    run_id: str

    @property
    def row(self) -> tuple[UUID, str, str]:
        return self.tenant_id, self.key, self.recipient


@dataclass(frozen=True, slots=True)
class Found:
    """What an earlier attempt left."""

    status: str
    provider: str
    message_id: str
    run_id: str
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class Doubt:
    """A message of which its run did not find out whether it was sent.

    `is_alone`: there is no other to the same number, at about that time, for which it could be
    taken.
    """

    tenant_id: UUID
    key: str
    recipient: str
    channel: str
    template: str
    provider: str
    message_id: str
    run_id: str
    claimed_at: datetime
    is_alone: bool

    @property
    def row(self) -> tuple[UUID, str, str]:
        return self.tenant_id, self.key, self.recipient


def judge(found: Found, run: Run, provider: Provider, now: datetime) -> Verdict:
    """What to do about a message that somebody dealt with before."""
    if found.status not in IN_DOUBT:
        return "already_sent" if found.status == "sent" else "send"
    is_anothers = found.status == "sending" and found.run_id != run.run_id
    if is_anothers and now - found.claimed_at < ABANDONED_AFTER:
        return "wait"
    if found.provider == provider.name:
        if found.status != "unconfirmed" and provider.is_repeatable:
            return "send"
        if provider.finds:
            return "look"
    # A replay is a person's answer to the run before it, not to what the replay itself did.
    is_answered = run.replay_of is not None and found.run_id != run.run_id
    if found.status != "sending" and is_answered:
        return "send"
    is_to_come = provider.reports and now - found.claimed_at < REPORTED_WITHIN
    return "wait" if is_to_come and found.provider == provider.name else "unconfirmed"


def wait_for(found: Found, verdict: Verdict, provider: Provider, now: datetime) -> timedelta | None:
    """How long until looking, or looking again, is of use; None: now."""
    age = now - found.claimed_at
    if verdict == "look":
        return LISTED_AFTER - age if age < LISTED_AFTER else None
    if verdict != "wait":
        return None
    if provider.reports and age < REPORTED_WITHIN and found.status == "unconfirmed":
        return REPORTED_WITHIN - age
    return LOOK_AGAIN_AFTER
