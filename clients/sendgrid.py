"""SendGrid: mail over its HTTP API, `POST /v3/mail/send`."""

import asyncio
import base64
import json
import re
from dataclasses import KW_ONLY, dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from clients.errors import (
    AccountRefusedError,
    RecipientUnreachableError,
    RequestRejectedError,
    ServiceError,
)
from clients.handover import Before, nothing
from clients.http import TRANSIENT, request
from clients.mail import Mail, Sender, ascii_address, list_headers, without_addresses

# The account is the trouble, which says nothing about this mail. Somebody has to correct it.
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_ADVICE = MappingProxyType(
    {
        _UNAUTHORIZED: "check SENDGRID_API_KEY and the account's credits",
        _FORBIDDEN: "check that SENDGRID_API_KEY may send mail, and that the domain of EMAIL_FROM,"
        " or of the tenant's email_from, is a verified sender",
    }
)
_BAD_REQUEST = 400
_TO = re.compile(r"personalizations\.0\.to(\.0(\.email)?)?")
_SHOWN = 5  # reasons
_LARGEST = 30 * 1024 * 1024  # bytes of a message with its attachments
_LONGEST_CATEGORY = 255


class SendGridSettings(BaseModel):
    """`url` is https://api.eu.sendgrid.com for subusers pinned to the EU; `timeout` in seconds."""

    model_config = ConfigDict(hide_input_in_errors=True)

    api_key: SecretStr
    url: str = "https://api.sendgrid.com"
    timeout: float = 30

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr) -> SecretStr:
        """Without the line break that secret files end with; else its error would show the key."""
        text = key.get_secret_value().strip()
        if not re.fullmatch(r"[!-~]+", text):
            raise ValueError("SENDGRID_API_KEY: has characters that no key has, or none")
        return SecretStr(text)


@dataclass(frozen=True, slots=True)
class SendGrid:
    """Hands mails to SendGrid, which knows no idempotency key: a repeated mail is a second one.

    `custom_args.message_id` comes back in the events of its webhook.
    """

    settings: SendGridSettings
    _: KW_ONLY
    http: httpx.AsyncClient
    sender: Sender
    name: str = "sendgrid"
    is_repeatable: bool = False
    # Where its events are received, they tell what became of a mail that it did not answer.
    reports: bool = False

    async def send(self, mail: Mail, *, message_id: str, before: Before = nothing) -> str:
        """Returns SendGrid's X-Message-Id, with which the `sg_message_id` of its events begins.

        Raises RequestRejectedError before anything left for what it is known to refuse.
        """
        # A large attachment takes a while to encode: not on the event loop.
        body = await asyncio.to_thread(_body, mail, self.sender, message_id)
        await before()
        reply = await request(
            self.http,
            "POST",
            f"{self.settings.url.rstrip('/')}/v3/mail/send",
            explain=_reasons,
            judge=partial(_judged, is_our_sender=_is_ours(mail, self.sender)),
            delivers=True,
            transient=TRANSIENT | _ADVICE.keys(),
            content=body,
            headers={
                "Authorization": f"Bearer {self.settings.api_key.get_secret_value()}",
                "Content-Type": "application/json",
            },
            timeout=self.settings.timeout,
        )
        return str(reply.headers.get("X-Message-Id", ""))

    async def aclose(self) -> None:
        """The HTTP client belongs to whoever made it."""


def _body(mail: Mail, sender: Sender, message_id: str) -> bytes:
    if len(mail.template) > _LONGEST_CATEGORY:
        raise RequestRejectedError(
            f"the mail cannot be sent: template: is longer than {_LONGEST_CATEGORY} characters"
        )
    sender = mail.sender or sender
    recipient = {"email": mail.address} | ({"name": mail.to_name} if mail.to_name else {})
    content = [{"type": "text/plain", "value": mail.text}]  # has to come first
    if mail.html:
        content.append({"type": "text/html", "value": mail.html})
    if mail.event is not None:
        kind = f"text/calendar; method={mail.event.method}"
        content.append({"type": kind, "value": mail.event.content})
    body: dict[str, Any] = {
        "personalizations": [{"to": [recipient], "custom_args": {"message_id": message_id}}],
        "from": {"email": sender.address} | ({"name": sender.name} if sender.name else {}),
        **({"reply_to": {"email": ascii_address(mail.reply_to)}} if mail.reply_to else {}),
        "subject": mail.subject,
        "content": content,
        "headers": {
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",
            "Content-Language": mail.language,
            **list_headers(mail, sender),
        },
        "categories": [mail.template],
    }
    if mail.files:
        body["attachments"] = [
            {
                "content": base64.b64encode(file.content).decode("ascii"),
                "type": file.content_type,
                "filename": file.filename,
                "disposition": "attachment",
            }
            for file in mail.files
        ]
    written = json.dumps(body).encode()
    if len(written) > _LARGEST:
        raise RequestRejectedError(
            "the mail cannot be sent: attachments: with them it is larger than 30 MB"
        )
    return written


def _is_ours(mail: Mail, sender: Sender) -> bool:
    """Is it from the address of the settings, and not from a tenant's own?"""
    return mail.sender is None or mail.sender.address == sender.address


def _judged(reply: httpx.Response, *, is_our_sender: bool) -> ServiceError | None:
    """403 may be about the sender: a tenant's that is not verified stops no other tenant's mail."""
    if reply.status_code == _UNAUTHORIZED or (reply.status_code == _FORBIDDEN and is_our_sender):
        return AccountRefusedError(f"SendGrid answered {reply.status_code}: {_reasons(reply)}")
    return _of_recipient(reply)


def _of_recipient(reply: httpx.Response) -> RecipientUnreachableError | None:
    """A refusal of the address alone: another channel may do."""
    if reply.status_code != _BAD_REQUEST:
        return None
    fields = _fields(reply)
    if not fields or not all(_TO.fullmatch(field) for field in fields):
        return None
    return RecipientUnreachableError(f"SendGrid takes no mail to this address: {_reasons(reply)}")


def _fields(reply: httpx.Response) -> list[str]:
    try:
        return [str(error.get("field")) for error in reply.json()["errors"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _reasons(reply: httpx.Response) -> str:
    """SendGrid's own words, without the addresses that it quotes."""
    try:
        errors = [error for error in reply.json()["errors"] if isinstance(error, dict)]
    except (ValueError, KeyError, TypeError):  # the edge answers a 413 or a 502 in HTML
        errors = []
    reasons = [f"{error.get('field') or 'request'}: {error.get('message')}" for error in errors]
    if reply.status_code in _ADVICE:
        reasons.insert(0, _ADVICE[reply.status_code])
    return without_addresses("; ".join(reasons[:_SHOWN]))
