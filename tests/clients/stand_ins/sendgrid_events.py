"""SendGrid's Event Webhook: signed arrays of events, doubled, disordered and repeated."""

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.clients.stand_ins.posting import Poster, disordered

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
# What becomes of a mail, by how its address begins.
_FATES: dict[str, tuple[str, dict[str, Any]]] = {
    "bounce": ("bounce", {"type": "bounce", "status": "5.1.1", "reason": "550 no such user"}),
    "blocked": ("bounce", {"type": "blocked", "status": "5.7.1", "reason": "554 rejected"}),
    "dropped": ("dropped", {"reason": "Bounced Address", "status": "5.0.0"}),
    "deferred": ("deferred", {"response": "400 try again later", "attempt": "5"}),
}
_AFTERWARDS = {"spam": "spamreport", "leaving": "unsubscribe", "group": "group_unsubscribe"}


@dataclass
class EventWebhook:
    """`url` None: nobody is told anything. `copies` of each event are posted, out of order."""

    url: str | None = None
    copies: int = 1
    is_disordered: bool = False
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    poster: Poster = field(default_factory=Poster)

    @property
    def public_key(self) -> str:
        """As the settings page shows it: base64 of DER SubjectPublicKeyInfo."""
        der = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    def signed(
        self, events: Sequence[Any], *, at: int | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Body, which ends with CRLF inside of what is signed, and headers."""
        body = (json.dumps(list(events), separators=(",", ":")) + "\r\n").encode()
        stamp = str(int(time.time()) if at is None else at)
        signature = self.key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return body, {
            "Content-Type": "application/json",
            SIGNATURE: base64.b64encode(signature).decode(),
            TIMESTAMP: stamp,
        }

    async def post(self, events: Sequence[Any]) -> int:
        """Post these, until somebody takes them; the last answer's status."""
        assert self.url is not None
        body, headers = self.signed(events)
        return await self.poster.post(self.url, body, headers)

    def tell_of(self, mail: dict[str, Any], provider_id: str) -> None:
        """Post what becomes of an accepted mail, each copy and event in an array of its own."""
        if self.url is None:
            return
        events = life_of(mail, provider_id)
        told = (
            disordered(events, copies=self.copies, seed=provider_id)
            if self.is_disordered
            else [event for event in events for _ in range(self.copies)]
        )

        async def tell() -> None:
            for event in told:
                await self.post([event])

        self.poster.later(tell())


def event_of(
    mail: dict[str, Any], provider_id: str, kind: str, *, number: int = 0, **extra: Any
) -> dict[str, Any]:
    """One event about the first recipient of an accepted mail, its custom args at the top level."""
    person = mail["personalizations"][0]
    categories = mail.get("categories") or []
    arguments = {**(mail.get("custom_args") or {}), **(person.get("custom_args") or {})}
    return {
        "email": person["to"][0]["email"],
        "timestamp": int(time.time()) + number,
        "event": kind,
        "sg_event_id": base64.b64encode(f"{kind}-{number}-{provider_id}".encode()).decode(),
        "sg_message_id": f"{provider_id}.recvd-5f5fc76c-9.0",
        "smtp-id": f"<{provider_id}@ismtpd.example>",
        # Both happen: a string where there is one, an array else.
        "category": categories[0] if len(categories) == 1 and number % 2 else categories,
        **arguments,
        **extra,
    }


def life_of(mail: dict[str, Any], provider_id: str) -> list[dict[str, Any]]:
    """All events of a mail, in the order in which they happen."""
    address = str(mail["personalizations"][0]["to"][0]["email"])
    fate = next((fate for name, fate in _FATES.items() if address.startswith(name)), None)
    kind, extra = fate or ("delivered", {"response": "250 OK", "ip": "192.0.2.1", "tls": 1})
    events = [
        event_of(mail, provider_id, "processed", number=0),
        event_of(mail, provider_id, kind, number=1, **extra),
    ]
    if kind == "deferred":
        events.append(event_of(mail, provider_id, "delivered", number=2, response="250 OK"))
    after = next((one for name, one in _AFTERWARDS.items() if address.startswith(name)), None)
    if after:
        events.append(event_of(mail, provider_id, after, number=3))
    return events
