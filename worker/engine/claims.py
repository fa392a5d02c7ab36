"""What passes between the engine and Redis: the right to run a run, and how it ended.

Made many thousand times a second, so these are plain slotted classes; nobody changes them but the
engine. Instants stay the milliseconds that Redis knows until somebody asks for more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs.kit import Queue

_UNSORTED = b"unsorted"
_NONE: frozenset[str] = frozenset()
_LAST_SECOND = 253_402_300_799.0  # of the year 9999


@dataclass(slots=True, eq=False)
class Claim:
    """The right to run one run, until `leased_ms` unless it is renewed.

    `raw` is None when the payload had expired; `epoch` names the data of Redis that it belongs to.
    """

    run_id: str
    queue: Queue
    token: str
    raw: bytes | None
    due_ms: float
    attempts_spent: int
    leased_ms: int
    epoch: str
    # Of no attempt before this one has history heard.
    is_first: bool = False
    crashes: int = 0
    aborted_ms: float | None = None
    unknown_ms: float | None = None

    @property
    def key(self) -> bytes:
        """The run's id as Redis knows it: ids are foreign, and not all of them text."""
        return self.run_id.encode("utf-8", "surrogateescape")

    @property
    def attempt(self) -> int:
        return self.attempts_spent + 1

    @property
    def due_at(self) -> datetime:
        return instant(self.due_ms)


@dataclass(slots=True, eq=False)
class Finish:
    """One transition out of running. Times in ms.

    `kind` is the State's value, or 'unknown' for a run that is released because nobody here knows
    its job, or 'read' for one that goes back with its words, to the score that `wait_ms` then is.
    An empty `result` is not kept. `spends_attempt` and `wait_ms` are for runs that come
    back.
    """

    claim: Claim
    kind: str
    record: bytes
    dead_letter: bytes = b""
    is_over: bool = True
    result: bytes = b""
    result_ttl_ms: int = 0
    wait_ms: int = 0
    spends_attempt: bool = False
    # The head of the payload, when it has words (controls.lua), and how long its rates shall rest.
    words: bytes = b""
    rest_ms: int = 0

    def arguments(self, queue_number: int, epoch: str) -> tuple[str | bytes | int, ...]:
        """As `finish.lua` reads them."""
        claim = self.claim
        # Of a Redis that lost its data since the claim: there is no lease to compare with.
        leased = claim.leased_ms if claim.epoch == epoch else ""
        if self.is_over:
            first: bytes | int = self.result
            second: bytes | int = self.result_ttl_ms
        else:
            spent = claim.attempts_spent + self.spends_attempt
            first = self.wait_ms
            second = b"%d %s" % (spent, claim.raw or b"")
        return (
            self.kind,
            queue_number,
            claim.key,
            claim.token,
            leased,
            self.record,
            self.dead_letter,
            first,
            second,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What one tick brought: for each finish whether it was still ours to write, and new claims."""

    verdicts: Sequence[bool]
    claims: Sequence[Claim]
    # Queues (by name) that hold more than there are slots, not yet in fair order.
    unsorted: frozenset[str] = frozenset()


def claims_of(reply: Sequence[Any], queues: Sequence[Queue], token: str) -> list[Claim]:
    """The columns of `tick.lua`'s answer as claims."""
    epoch, _, leased, numbers, ids, payloads, scores, spent, extras = reply
    claims = [
        Claim(
            run_id.decode("utf-8", "surrogateescape"),
            queues[number - 1],
            token,
            raw,
            float(score),
            0 if count is None else _count(count),
            leased,
            epoch.decode(),
            count is None,
        )
        for number, run_id, raw, score, count in zip(
            numbers, ids, payloads, scores, spent, strict=True
        )
    ]
    for position, what, value in extras:
        if what == _UNSORTED:
            continue
        claim = claims[position - 1]
        if what == b"crashes":
            claim.crashes, claim.is_first = int(value), False
        elif what == b"aborted":
            claim.aborted_ms = float(value)
        else:
            claim.unknown_ms = float(value)
    return claims


def unsorted(reply: Sequence[Any], queues: Sequence[Queue]) -> frozenset[str]:
    """The queues that `tick.lua` has not sorted to the end."""
    extras = reply[-1]
    if not extras:
        return _NONE
    return frozenset(queues[number - 1].name for number, what, _ in extras if what == _UNSORTED)


def held(claims: Sequence[Claim]) -> tuple[list[str], list[str | bytes | int]]:
    """The queues and the leases, as `renew.lua` reads them."""
    numbers: dict[str, int] = {}
    leases: list[str | bytes | int] = []
    for claim in claims:
        number = numbers.setdefault(claim.queue.key, len(numbers) + 1)
        leases += (number, claim.key, claim.token, claim.leased_ms, claim.epoch)
    return list(numbers), leases


def instant(milliseconds: float) -> datetime:
    """Scores are foreign: one that is no date becomes the nearest that is."""
    return datetime.fromtimestamp(min(max(milliseconds / 1000, 0), _LAST_SECOND), UTC)


def _count(text: bytes) -> int:
    """A counter that somebody else overwrote counts for nothing."""
    return int(text) if text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004 - digits
