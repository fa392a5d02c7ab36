"""What Twilio posts to us: status callbacks and inbound SMS, with both kinds of signature."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import uuid4

from tests.clients.stand_ins.posting import Poster, disordered

SHARED_KEY = "shared-key-of-the-stand-in"
Algorithm = Literal["HMAC_SHA1", "HMAC_SHA256"]
_HASHES = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
# What becomes of an SMS, by how its number ends.
_FATES = {"3003": 30003, "3005": 30005, "3006": 30006, "3007": 30007, "3034": 30034}


def signature_of(
    url: str, form: Sequence[tuple[str, str]], *, key: str, algorithm: Algorithm = "HMAC_SHA1"
) -> str:
    """As its documentation says: the URL, then names sorted, of each the unique values sorted."""
    text = url.partition("#")[0]
    for name in sorted({name for name, _ in form}):
        for value in sorted({value for one, value in form if one == name}):
            text += name + value
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), _HASHES[algorithm])).decode()


@dataclass
class Callbacks:
    """`is_telling`: each accepted SMS is told of, in so many `copies`."""

    auth_token: str
    is_telling: bool = False
    copies: int = 1
    is_disordered: bool = False
    algorithm: Algorithm = "HMAC_SHA1"
    # Where inbound SMS and STOP go, as is set on a number's page.
    inbound_url: str | None = None
    poster: Poster = field(default_factory=lambda: Poster(attempts=2))

    def headers(
        self, url: str, form: Sequence[tuple[str, str]], *, token: str | None = None
    ) -> dict[str, str]:
        """Those of one post; `token` marks the repeats of one event."""
        key = self.auth_token if self.algorithm == "HMAC_SHA1" else SHARED_KEY
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": signature_of(url, form, key=key, algorithm=self.algorithm),
            "I-Twilio-Idempotency-Token": token or str(uuid4()),
        }
        if self.algorithm != "HMAC_SHA1":
            headers["X-Twilio-Webhooks-Signature-Settings"] = (
                f"key=webhooks_sharedkey_1,algorithm={self.algorithm}"
            )
        return headers

    async def post(self, url: str, form: Mapping[str, str]) -> int:
        """The last answer's status. A fragment overrides how often it is tried (`#rc=3`)."""
        target, _, fragment = url.partition("#")
        retries = re.search(r"(?:^|&)rc=([0-5])(?:&|$)", fragment)
        attempts = int(retries[1]) + 1 if retries else None
        pairs = list(form.items())
        body, headers = urlencode(pairs).encode(), self.headers(target, pairs)
        return await self.poster.post(
            target, body, headers, attempts=attempts, takes_refusals=retries is None
        )

    def status_form(self, message: dict[str, Any], status: str) -> dict[str, str]:
        """The fields of a status callback; unknown ones may come at any time."""
        form = {
            "MessageSid": message["sid"],
            "SmsSid": message["sid"],
            "MessageStatus": status,
            "SmsStatus": status,
            "AccountSid": message["account_sid"],
            "From": message["from"] or "",
            "To": message["to"],
            "ApiVersion": "2010-04-01",
            "RawDlrDoneDate": "2611221000",
        }
        if message["messaging_service_sid"]:
            form["MessagingServiceSid"] = message["messaging_service_sid"]
        if message["error_code"] and status in ("failed", "undelivered"):
            form["ErrorCode"] = str(message["error_code"])
        return form

    def tell_of(self, message: dict[str, Any], url: str | None) -> None:
        """Post what becomes of an accepted SMS."""
        code = next((code for end, code in _FATES.items() if message["to"].endswith(end)), None)
        message["error_code"] = code
        last = "undelivered" if code else "delivered"
        message["status"] = last if self.is_telling else message["status"]
        if url is None or not self.is_telling:
            return
        statuses = ["queued", "sending", "sent", last]
        told = (
            disordered(statuses, copies=self.copies, seed=message["sid"])
            if self.is_disordered
            else [status for status in statuses for _ in range(self.copies)]
        )

        async def tell() -> None:
            for status in told:
                await self.post(url, self.status_form(message, status))

        self.poster.later(tell())

    async def receive(
        self, *, account_sid: str, sender: str, to: str, body: str, opt_out: str | None = None
    ) -> int:
        """Somebody wrote an SMS to one of our numbers."""
        assert self.inbound_url is not None
        sid = f"SM{uuid4().hex}"
        form = {
            "MessageSid": sid,
            "SmsSid": sid,
            "SmsMessageSid": sid,
            "AccountSid": account_sid,
            "From": sender,
            "To": to,
            "Body": body,
            "NumMedia": "0",
            "NumSegments": "1",
            "SmsStatus": "received",
            "ApiVersion": "2010-04-01",
        }
        if opt_out:
            form["OptOutType"] = opt_out
        return await self.post(self.inbound_url, form)
