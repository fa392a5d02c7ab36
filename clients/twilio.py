"""Twilio: SMS over its HTTP API, `POST /2010-04-01/Accounts/{sid}/Messages.json`."""

import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import httpx
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from clients.errors import DeliveryUnknownError, ServiceUnavailableError
from clients.handover import Before, nothing
from clients.http import request
from clients.sms import Sms
from clients.twilio_errors import refusal

_PAGE, _PAGES = 1000, 10  # messages to one number that are looked through for a lost one
_SKEW = timedelta(seconds=60)  # that its clock and ours may differ
_SERVICE = re.compile("MG[0-9a-f]{32}")  # a name may begin like one, and is shorter
# A callback is tried five times more when we do not take it; without this, never.
_AGAIN = "#rc=5&rp=all"
_TRIAL = "Sent from your Twilio trial account - "  # it begins every text of such an account


class TwilioSettings(BaseModel):
    """How Twilio is reached, and who an SMS is from that names no sender itself.

    sender                 a number of the account's (E.164), a short code or a name
    messaging_service_sid  chooses the sender; wins over `sender`
    status_callback        URL that Twilio tells what became of an SMS; None: nowhere
    validity               how long an SMS may wait at Twilio: late is worse than never
    timeout                in seconds
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    account_sid: str
    auth_token: SecretStr
    sender: str | None = None
    messaging_service_sid: str | None = None
    status_callback: str | None = None
    url: str = "https://api.twilio.com"
    validity: timedelta = timedelta(hours=4)
    timeout: float = 30

    @field_validator("auth_token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr) -> SecretStr:
        """Without the line break that secret files end with."""
        text = token.get_secret_value().strip()
        if not re.fullmatch(r"[!-~]+", text):
            raise ValueError("TWILIO_AUTH_TOKEN: has characters that no token has, or none")
        return SecretStr(text)


@dataclass(frozen=True, slots=True)
class Twilio:
    """Hands SMS to Twilio, which knows no idempotency key: a repeated SMS is a second one.

    The message id stands in the query of the status callback, which so proves an acceptance whose
    answer was lost; `find` looks for one.
    """

    settings: TwilioSettings
    _: KW_ONLY
    http: httpx.AsyncClient
    name: str = "twilio"
    is_repeatable: bool = False

    async def send(self, sms: Sms, *, message_id: str, before: Before = nothing) -> str:
        """Returns the SID of the message.

        Raises RecipientOptedOutError and RecipientUnreachableError besides what every provider
        does.
        """
        form = {
            "To": sms.to,
            "Body": sms.body,
            "ValidityPeriod": str(int(self.settings.validity.total_seconds())),
            **self._sender_of(sms),
        }
        if self.settings.status_callback:
            query = urlencode({"message_id": message_id})
            form["StatusCallback"] = f"{self.settings.status_callback}?{query}{_AGAIN}"
        await before()
        reply = await request(
            self.http,
            "POST",
            self._url(f"{self._account}/Messages.json"),
            judge=refusal,
            delivers=True,
            data=form,
            auth=self._auth,
            timeout=self.settings.timeout,
        )
        sid = _object(reply).get("sid")
        if not isinstance(sid, str) or not sid:
            raise DeliveryUnknownError("Twilio took the SMS and did not say under which SID")
        return sid

    async def find(
        self,
        sms: Sms,
        *,
        message_id: str,  # noqa: ARG002 - Twilio keeps no id of ours
        since: datetime,
        known: Collection[str] = (),
    ) -> str | None:
        """The SID of an SMS like this one that was accepted at that time or later, if any.

        Raises DeliveryUnknownError when the number has more messages than are looked through.
        """
        sender = self._sender_of(sms)
        async for message in self._messages_to(sms.to, sender):
            is_like = _is_like(message, sms, sender) and message["sid"] not in known
            if is_like and _created(message) >= since - _SKEW:
                return str(message["sid"])
        return None

    async def accepted(
        self,
        to: str,
        *,
        message_id: str,  # noqa: ARG002 - Twilio keeps no id of ours
        since: datetime,
        until: datetime,
        known: Collection[str] = (),
    ) -> list[str]:
        """The SIDs of the account's SMS to a number that were accepted in between, whoever they
        are from. Raises what `find` does.
        """
        return [
            str(message["sid"])
            async for message in self._messages_to(to, {})
            if "sid" in message
            and message["sid"] not in known
            and str(message.get("direction")).startswith("outbound")
            and since - _SKEW <= _created(message) <= until + _SKEW
        ]

    async def aclose(self) -> None:
        """The HTTP client belongs to whoever made it."""

    async def _messages_to(
        self, to: str, sender: Mapping[str, str]
    ) -> AsyncIterator[dict[str, Any]]:
        # Not by DateSent, which a message that still waits has not.
        query = {"To": to, "PageSize": str(_PAGE)}
        if "From" in sender:
            query["From"] = sender["From"]
        path = f"{self._account}/Messages.json?{urlencode(query)}"
        for _ in range(_PAGES):
            reply = await request(
                self.http,
                "GET",
                self._url(path),
                judge=refusal,
                auth=self._auth,
                timeout=self.settings.timeout,
            )
            page = _object(reply)
            for message in page.get("messages") or ():
                if isinstance(message, dict):
                    yield message
            following = page.get("next_page_uri")
            if not following:
                return
            path = str(following)
        raise DeliveryUnknownError(
            f"the SMS may have been sent: its number has more than {_PAGE * _PAGES} messages"
        )

    def _sender_of(self, sms: Sms) -> dict[str, str]:
        """Exactly one of the two. Raises ServiceUnavailableError when nobody says who."""
        sender = sms.sender or self.settings.messaging_service_sid or self.settings.sender
        if sender is None:
            raise ServiceUnavailableError(
                "nobody says who an SMS is from: set TWILIO_FROM or TWILIO_MESSAGING_SERVICE_SID,"
                " or the tenant's sms_from"
            )
        return {"MessagingServiceSid" if _SERVICE.fullmatch(sender) else "From": sender}

    def _url(self, path: str) -> str:
        """Of Twilio's own server, whatever a page of a list says comes next."""
        return f"{self.settings.url.rstrip('/')}/{path.lstrip('/')}"

    @property
    def _account(self) -> str:
        return f"/2010-04-01/Accounts/{self.settings.account_sid}"

    @property
    def _auth(self) -> tuple[str, str]:
        return self.settings.account_sid, self.settings.auth_token.get_secret_value()


def _object(reply: httpx.Response) -> dict[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _is_like(message: dict[str, Any], sms: Sms, sender: Mapping[str, str]) -> bool:
    """Is it this SMS? A messaging service's has no `from` before it has chosen one."""
    body = str(message.get("body")).removeprefix(_TRIAL)
    is_from = (
        message.get("from") == sender["From"]
        if "From" in sender
        else message.get("messaging_service_sid") == sender["MessagingServiceSid"]
    )
    is_text = body.split() == sms.body.split()
    return is_text and is_from and message.get("to") == sms.to and "sid" in message


def _created(message: dict[str, Any]) -> datetime:
    """Raises ServiceUnavailableError when Twilio does not say when."""
    try:
        created = parsedate_to_datetime(message["date_created"])
    except (KeyError, TypeError, ValueError):
        raise ServiceUnavailableError("Twilio lists an SMS without its date_created") from None
    if created.tzinfo is None:
        raise ServiceUnavailableError("Twilio lists an SMS with a date_created of no time zone")
    return created
