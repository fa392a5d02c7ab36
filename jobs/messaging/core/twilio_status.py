"""What Twilio posts: status callbacks of SMS that we sent, and SMS that people send us.

Fields: twilio.com/docs/messaging/guides/track-outbound-message-status and …/webhook-request.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qs, parse_qsl

from jobs.messaging.core.outcomes import Event, Outcome, Reason

_OUTCOMES: MappingProxyType[str, Outcome | None] = MappingProxyType(
    {
        "accepted": None,
        "scheduled": None,
        "queued": None,
        "sending": None,
        "sent": None,
        "delivered": "delivered",
        "partially_delivered": "delivered",
        "read": "delivered",
        "undelivered": "failed",
        "failed": "failed",
        "canceled": "failed",
    }
)
# Other codes (30003 switched off, 30007 filtered by the carrier, 30034 a sender that is not
# registered) say nothing for good about the number.
_REASONS: MappingProxyType[str, Reason] = MappingProxyType(
    {"21610": "opted out", "30005": "unreachable", "30006": "unreachable"}
)
Word = Literal["stop", "start", "help"]
# Twilio's own, and the same in Turkish; folded as `_folded` does.
_WORDS: MappingProxyType[str, Word] = MappingProxyType(
    {
        **dict.fromkeys(
            ("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "optout", "revoke"), "stop"
        ),
        **dict.fromkeys(("dur", "durdur", "iptal", "iptalet", "ret", "red"), "stop"),
        # Not `yes`: it answers questions.
        **dict.fromkeys(("start", "unstop", "basla"), "start"),
        **dict.fromkeys(("help", "info", "yardim"), "help"),
    }
)
# Of SMS alone: START takes back what was told by SMS, and no decision of the tenant's.
RELEASED_BY_START: tuple[Reason, ...] = ("opted out", "unreachable")
_MOST_FIELDS = 1000
_LONGEST = 300  # characters of an id


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Somebody wrote to one of our numbers: a word that is meant for us, or a reply (None).

    `services` are what the number may be known as: itself, and its messaging service.
    """

    event_id: str
    sender: str
    services: tuple[str, ...]
    word: Word | None


def read_callback(body: str, query: str, *, received_at: datetime) -> Event | Inbound | None:
    """What a form tells; None: nothing that concerns us. Raises ValueError for no form."""
    fields = dict(parse_qsl(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    sid = _id(fields.get("MessageSid") or fields.get("SmsSid"))
    if sid is None:
        return None
    status = fields.get("MessageStatus", "")
    if status in _OUTCOMES:
        return _event(fields, sid, status, query, received_at)
    is_inbound = not status and fields.get("SmsStatus", "received") == "received"
    sender, to = _id(fields.get("From")), _id(fields.get("To"))
    if not is_inbound or sender is None or to is None:
        return None
    service = _id(fields.get("MessagingServiceSid"))
    return Inbound(
        event_id=f"{sid}:received",
        sender=sender,
        services=(to,) if service is None else (to, service),
        word=word_of(fields.get("Body", ""), opt_out_type=fields.get("OptOutType", "")),
    )


def word_of(text: str, *, opt_out_type: str = "") -> Word | None:
    """The word that a whole SMS consists of; `opt_out_type` is what Twilio took it for itself.

    >>> word_of(" İptal. "), word_of("Dur lütfen"), word_of("Tamam", opt_out_type="STOP")
    ('stop', None, 'stop')
    """
    return _WORDS.get(_folded(opt_out_type)) or _WORDS.get(_folded(text))


def _event(
    fields: Mapping[str, str], sid: str, status: str, query: str, received_at: datetime
) -> Event:
    code = fields.get("ErrorCode", "")
    code = code if re.fullmatch(r"[1-9][0-9]{3,5}", code) else ""
    outcome = _OUTCOMES[status]
    return Event(
        provider="twilio",
        event_id=f"{sid}:{status}",
        message_id=_id(parse_qs(query).get("message_id", [""])[0]),
        provider_id=sid,
        happened_at=received_at,
        outcome=outcome,
        code=(code or ("canceled" if status == "canceled" else None))
        if outcome == "failed"
        else None,
        suppresses=_REASONS.get(code) if outcome == "failed" else None,
    )


def _folded(text: str) -> str:
    """Letters alone, without marks and in lower case, whichever i was meant: `STOP ALL!` too."""
    plain = unicodedata.normalize("NFKD", text.replace("ı", "i")).lower()
    return "".join(filter(str.isalnum, plain))


def _id(text: str | None) -> str | None:
    return text if text and len(text) <= _LONGEST and "\0" not in text else None
