"""The arrays that SendGrid's Event Webhook posts, read as far as they can be.

Fields: twilio.com/docs/sendgrid/for-developers/tracking-events/event. New ones come unannounced.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from jobs.messaging.core.outcomes import Event, Outcome, Reason

_OUTCOMES: MappingProxyType[str, Outcome | None] = MappingProxyType(
    {
        "processed": None,
        "deferred": "deferred",
        "delivered": "delivered",
        "bounce": "bounced",
        "dropped": "dropped",
        "spamreport": "complained",
        "unsubscribe": "unsubscribed",
        "group_unsubscribe": "unsubscribed",
        "group_resubscribe": None,
    }
)
_REASONS: MappingProxyType[str, Reason] = MappingProxyType(
    {
        "bounce": "bounced",
        "spamreport": "complained",
        "unsubscribe": "unsubscribed",
        "group_unsubscribe": "group unsubscribed",
    }
)
_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}|[245]\d\d")
_LATEST_SECONDS = 100_000_000_000  # some events tell milliseconds
_LONGEST = 300  # characters of an id


@dataclass(frozen=True, slots=True)
class Reading:
    """The events that concern us, and how many of which kind do not."""

    events: list[Event] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def read_events(body: str, *, received_at: datetime) -> Reading:
    """Every event that can be read, whatever the others are. Raises ValueError for no JSON."""
    told = json.loads(body)
    reading = Reading()
    for one in told if isinstance(told, list) else [told]:
        kind = one.get("event") if isinstance(one, dict) else None
        if isinstance(kind, str) and kind in _OUTCOMES:
            reading.events.append(_event(one, kind, received_at))
        else:
            reading.skipped[_named(kind)] += 1
    return reading


def _event(one: Mapping[str, Any], kind: str, received_at: datetime) -> Event:
    # Blocked for now, by a filter or a full mailbox: the address is as good as before.
    is_blocked = kind == "bounce" and one.get("type") == "blocked"
    return Event(
        provider="sendgrid",
        event_id=_text(one.get("sg_event_id")) or _digest(one),
        message_id=_text(one.get("message_id")) or _text(one.get("smtp-id")),
        provider_id=_provider_id(one),
        happened_at=_instant(one.get("timestamp")) or received_at,
        outcome=_OUTCOMES[kind],
        code="blocked" if is_blocked else _code(one),
        suppresses=None if is_blocked else _REASONS.get(kind),
        releases=("group unsubscribed",) if kind == "group_resubscribe" else (),
    )


def _provider_id(one: Mapping[str, Any]) -> str | None:
    """The X-Message-Id of the answer, with which `sg_message_id` begins."""
    text = _text(one.get("sg_message_id"))
    return text.partition(".")[0] if text else None


def _code(one: Mapping[str, Any]) -> str | None:
    """A status of SMTP (RFC 3463 or 5321), and none of the words: they quote addresses."""
    for name in ("status", "response", "reason"):
        found = _CODE.match(str(one.get(name, "")).strip())
        if found:
            return found[0]
    return None


def _instant(stamp: object) -> datetime | None:
    if isinstance(stamp, bool) or not isinstance(stamp, int | float | str):
        return None
    try:
        seconds = float(stamp)
        if seconds > _LATEST_SECONDS:
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _text(value: object) -> str | None:
    is_id = isinstance(value, str) and 0 < len(value) <= _LONGEST and "\0" not in value
    return str(value) if is_id else None


def _digest(one: Mapping[str, Any]) -> str:
    """For events without an id: the same words are the same event."""
    return hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest()


def _named(kind: object) -> str:
    """For logs: kinds are words of SendGrid's, and whatever else stands there is nobody's name."""
    is_word = isinstance(kind, str) and re.fullmatch(r"[a-z_]{1,30}", kind)
    return str(kind) if is_word else "not an event"
