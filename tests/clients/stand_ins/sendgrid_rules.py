"""What SendGrid refuses, by the rules of its documentation: (field, message) for each."""

import base64
import binascii
import re
import time
from collections.abc import Iterator
from typing import Any

Problem = tuple[str | None, str]

_FORBIDDEN_HEADERS = {
    "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "to", "from",
    "content-transfer-encoding", "subject", "reply-to", "cc", "bcc",
}  # fmt: skip
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def problems(body: Any, *, batches: set[str]) -> list[Problem]:
    """All that is wrong with a body of `/v3/mail/send`."""
    if not isinstance(body, dict):
        return [(None, "Bad Request")]
    return [
        *_people(body),
        *_sender(body),
        *_subject(body),
        *_content(body),
        *_attachments(body),
        *_labels(body),
        *_delivery(body, batches),
    ]


def _people(body: dict[str, Any]) -> Iterator[Problem]:
    people = body.get("personalizations")
    if not isinstance(people, list) or not people:
        yield "personalizations", "You must have at least one personalization."
        return
    if len(people) > 1000:
        yield "personalizations", "The personalizations field is required and must be 1 to 1000."
    total = 0
    for number, person in enumerate(people):
        place = f"personalizations.{number}"
        if not person.get("to"):
            yield f"{place}.to", "The to array is required for all personalization objects."
        seen: set[str] = set()
        for kind in ("to", "cc", "bcc"):
            for index, one in enumerate(person.get(kind) or ()):
                total += 1
                address = str(one.get("email", ""))
                if not _ADDRESS.fullmatch(address):
                    yield (
                        f"{place}.{kind}.{index}.email",
                        f"Does not contain a valid address: {address}",
                    )
                if address.lower() in seen:
                    yield (
                        place,
                        "Each unique email address should only be included once.",
                    )
                seen.add(address.lower())
    if total > 1000:
        yield (
            "personalizations",
            "There is a limit of 1000 total recipients (to + cc + bcc) per request.",
        )


def _sender(body: dict[str, Any]) -> Iterator[Problem]:
    sender = body.get("from")
    if not isinstance(sender, dict) or not _ADDRESS.fullmatch(str(sender.get("email", ""))):
        yield "from.email", "The from email does not contain a valid address."
    if "reply_to" in body and "reply_to_list" in body:
        yield "reply_to", "The reply_to and reply_to_list may not be used together."
    reply_to = body.get("reply_to")
    if reply_to is not None and not _ADDRESS.fullmatch(str(reply_to.get("email", ""))):
        yield "reply_to.email", "The reply_to email does not contain a valid address."


def _subject(body: dict[str, Any]) -> Iterator[Problem]:
    people = body.get("personalizations") or [{}]
    is_elsewhere = "template_id" in body or all(person.get("subject") for person in people)
    if not body.get("subject") and not is_elsewhere:
        yield "subject", "The subject is required."


def _content(body: dict[str, Any]) -> Iterator[Problem]:
    parts = body.get("content")
    if not parts:
        if "template_id" not in body:
            yield "content", "Unless a valid template_id is provided, the content is required."
        return
    if not all(isinstance(part.get("value"), str) and part["value"] for part in parts):
        yield "content", "The content value must be a string at least one character in length."
    order = ["text/plain", "text/html"]
    types = [part.get("type") for part in parts]
    known = [kind for kind in types if kind in order]
    if known != sorted(set(known), key=order.index) or types[: len(known)] != known:
        yield "content", "text/plain and text/html may only be provided once, in this order."


def _attachments(body: dict[str, Any]) -> Iterator[Problem]:
    for number, file in enumerate(body.get("attachments") or ()):
        place = f"attachments.{number}"
        content = file.get("content", "")
        try:
            is_base64 = bool(content) and bool(base64.b64decode(content, validate=True))
        except (binascii.Error, ValueError):
            is_base64 = False
        if not is_base64:
            yield f"{place}.content", "The attachment content must be base64 encoded."
        if not file.get("filename"):
            yield f"{place}.filename", "The attachment filename is required."
        disposition = file.get("disposition", "attachment")
        if disposition not in ("attachment", "inline"):
            yield f"{place}.disposition", "The disposition must be attachment or inline."
        if disposition == "inline" and not file.get("content_id"):
            yield f"{place}.content_id", "The content_id is required for inline attachments."


def _labels(body: dict[str, Any]) -> Iterator[Problem]:
    for name in body.get("headers") or ():
        if name.lower() in _FORBIDDEN_HEADERS:
            yield "headers", f"The header {name} is not allowed."
    categories = body.get("categories") or []
    if len(categories) > 10:
        yield "categories", "There is a limit of 10 categories per request."
    if len(set(categories)) != len(categories):
        yield "categories", "The categories must be unique."
    if any(not isinstance(one, str) or not 0 < len(one) <= 255 for one in categories):
        yield "categories", "A category name must be 1 to 255 characters."
    places = [("", body), *_numbered(body.get("personalizations") or [])]
    for place, holder in places:
        arguments = holder.get("custom_args") or {}
        if not all(isinstance(value, str) for value in arguments.values()):
            yield f"{place}custom_args", "The custom_args values must be strings."
        elif sum(len(f"{name}{value}".encode()) for name, value in arguments.items()) > 10_000:
            yield f"{place}custom_args", "The custom_args are limited to 10,000 bytes."


def _delivery(body: dict[str, Any], batches: set[str]) -> Iterator[Problem]:
    holders = [("", body), *_numbered(body.get("personalizations") or [])]
    for place, holder in holders:
        send_at = holder.get("send_at")
        if send_at is not None and (
            not isinstance(send_at, int) or send_at > time.time() + 72 * 3600
        ):
            yield f"{place}send_at", "Scheduling more than 72 hours in advance is forbidden."
    if "batch_id" in body and body["batch_id"] not in batches:
        yield "batch_id", "The batch_id is not valid."
    asm = body.get("asm")
    if asm is not None and (
        not isinstance(asm.get("group_id"), int) or len(asm.get("groups_to_display") or ()) > 25
    ):
        yield "asm", "The group_id must be an integer, and at most 25 groups displayed."
    if not 2 <= len(body.get("ip_pool_name", "two")) <= 64:
        yield "ip_pool_name", "The ip_pool_name must be 2 to 64 characters."


def _numbered(people: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"personalizations.{number}.", person) for number, person in enumerate(people)]
