"""Whether what was posted to us comes from whom it says; declares who posts at all.

SendGrid   ECDSA over P-256 and SHA-256 of timestamp and raw body
           (twilio.com/docs/sendgrid: Event Webhook security features)
Twilio     HMAC over the URL as Twilio knows it and the fields of the form
           (twilio.com/docs/usage/webhooks/webhooks-security)

Without the key of a sender nothing of it is believed.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlsplit, urlunsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from worker.settings import Settings
from worker.settings_sending import event_key
from worker.webhooks import Received, Webhook, webhook

# Repeats go on for 24 hours, perhaps with their first timestamp: they are told apart by their
# events. What is older is somebody's recording.
_OLDEST: Final = timedelta(hours=25)
_MOST_FIELDS = 1000  # of a form
_HASHES: Final[MappingProxyType[str, Callable[..., Any]]] = MappingProxyType(
    {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
)


def is_from_sendgrid(received: Received, settings: Settings) -> bool:
    """Is this an array of events that SendGrid signed for SENDGRID_WEBHOOK_PUBLIC_KEY?"""
    if settings.sendgrid_webhook_public_key is None:
        return False
    stamp = received.headers.get("x-twilio-email-event-webhook-timestamp", "")
    if not _is_recent(stamp, received.received_at):
        return False
    try:
        signature = base64.b64decode(
            received.headers.get("x-twilio-email-event-webhook-signature", ""), validate=True
        )
        event_key(settings.sendgrid_webhook_public_key).verify(
            signature, stamp.encode() + received.body, ec.ECDSA(hashes.SHA256())
        )
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def is_from_twilio(received: Received, settings: Settings) -> bool:
    """Is this a callback that Twilio signed with the account's token, or with our shared key?"""
    algorithm = _algorithm(received.headers.get("x-twilio-webhooks-signature-settings", ""))
    # The header chooses between the two that are configured, and never none at all.
    keys = {
        "HMAC_SHA1": settings.twilio_auth_token,
        "HMAC_SHA256": settings.twilio_webhook_shared_key,
    }
    key = keys.get(algorithm)
    fields = _signed_fields(received)
    if key is None or fields is None:
        return False
    given = _octets(received.headers.get("x-twilio-signature", ""))
    secret = key.get_secret_value().strip().encode()
    matches = [
        hmac.compare_digest(
            given,
            base64.b64encode(hmac.digest(secret, _octets(url + fields), _HASHES[algorithm])),
        )
        for url in _spellings(received.url)
    ]
    return any(matches)


def _is_recent(stamp: str, received_at: datetime) -> bool:
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= len("9999999999")):
        return False
    return abs(received_at - datetime.fromtimestamp(int(stamp), UTC)) <= _OLDEST


def _algorithm(signature_settings: str) -> str:
    """As in `key=…,algorithm=HMAC_SHA256`; without one it is the old one."""
    for part in signature_settings.split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return value.strip().upper()
    return "HMAC_SHA1"


def _signed_fields(received: Received) -> str | None:
    """What follows the URL in what is signed: a form's fields. None: the body is not signed."""
    media_type = received.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        try:
            pairs = parse_qsl(
                received.body.decode(),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MOST_FIELDS,
            )
        except ValueError:
            return None
        # Sorted by name, of a repeated one each value once.
        return "".join(name + value for name, value in sorted(set(pairs)))
    named = parse_qs(urlsplit(received.url).query).get("bodySHA256", [""])[0]
    own = hashlib.sha256(received.body).hexdigest()
    return "" if hmac.compare_digest(_octets(named.lower()), own.encode()) else None


def _octets(text: str) -> bytes:
    """As they came: of those that are no UTF-8 a server makes surrogates."""
    return text.encode(errors="surrogateescape")


def _spellings(url: str) -> Iterator[str]:
    """As it came, and with and without a port: Twilio signs now one and now the other."""
    parts = urlsplit(url)._replace(fragment="")
    try:
        port = parts.port
    except ValueError:
        return
    host = parts.netloc.removesuffix(f":{port}")
    default = 443 if parts.scheme == "https" else 80
    for netloc in {parts.netloc, host, f"{host}:{port or default}"}:
        yield urlunsplit(parts._replace(netloc=netloc))


SENDGRID: Final = webhook(
    Webhook(source="sendgrid", verify=is_from_sendgrid, job="messaging.record_sendgrid_events")
)
# It reads the answer to an inbound SMS as instructions.
TWILIO: Final = webhook(
    Webhook(
        source="twilio",
        verify=is_from_twilio,
        job="messaging.record_twilio_status",
        is_answered=False,
    )
)
