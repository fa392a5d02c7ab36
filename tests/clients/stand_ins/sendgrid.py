"""SendGrid's `/v3/mail/send` as its documentation has it, on a real socket."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

API_KEY = "SG.stand-in.very-secret"
_FORBIDDEN_HEADERS = {
    "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "to", "from",
    "content-transfer-encoding", "subject", "reply-to", "cc", "bcc",
}  # fmt: skip


@dataclass
class SendGridServer:
    """Accepted messages, and the answer it gives instead of its own, if any."""

    url: str = ""
    accepted: list[dict[str, Any]] = field(default_factory=list)
    answer: web.Response | None = None
    hangs_after_accepting: bool = False

    async def mail_send(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            return _refused(
                401, None, "The provided authorization grant is invalid, expired, or revoked"
            )
        if request.content_type != "application/json":
            return _refused(415, None, "Content-Type should be application/json.")
        if self.answer is not None:
            return self.answer
        body = await request.json()
        if problem := _problem(body):
            return _refused(400, *problem)
        self.accepted.append(body)
        if self.hangs_after_accepting:
            await asyncio.sleep(3600)
        return web.Response(status=202, headers={"X-Message-Id": f"sg-{len(self.accepted)}"})


def refusal(
    status: int,
    message: str,
    *,
    field_name: str | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """An error body as SendGrid writes it."""
    body = {"errors": [{"message": message, "field": field_name, "help": None}]}
    return web.json_response(body, status=status, headers=headers)


def _refused(status: int, field_name: str | None, message: str) -> web.Response:
    return refusal(status, message, field_name=field_name)


def _problem(body: dict[str, Any]) -> tuple[str, str] | None:
    people = body.get("personalizations")
    if not people:
        return "personalizations", "You must have at least one personalization."
    for number, recipient in enumerate(people[0].get("to", [])):
        if "@" not in recipient.get("email", ""):
            return (
                f"personalizations.0.to.{number}.email",
                f"Does not contain a valid address: {recipient.get('email')}",
            )
    if not body.get("subject"):
        return "subject", "The subject is required."
    return _content_problem(body) or _extras_problem(body)


def _content_problem(body: dict[str, Any]) -> tuple[str, str] | None:
    types = [part["type"] for part in body.get("content", [])]
    if not types or not all(part["value"] for part in body["content"]):
        return "content", "The content value must be a string at least one character in length."
    if types != sorted(types, key=["text/plain", "text/html"].index):
        return (
            "content",
            "text/plain and text/html may only be provided once, in this order.",
        )
    for number, file in enumerate(body.get("attachments", [])):
        if "\n" in file["content"] or not base64.b64decode(file["content"], validate=True):
            return (
                f"attachments.{number}.content",
                "The attachment content must be base64 encoded.",
            )
    return None


def _extras_problem(body: dict[str, Any]) -> tuple[str, str] | None:
    for name in body.get("headers", {}):
        if name.lower() in _FORBIDDEN_HEADERS:
            return "headers", f"The header {name} is not allowed."
    for value in body["personalizations"][0].get("custom_args", {}).values():
        if not isinstance(value, str):
            return "personalizations.0.custom_args", "Values must be strings."
    categories = body.get("categories", [])
    if len(categories) > 10 or len(set(categories)) != len(categories):
        return "categories", "Too many, or not unique."
    return None


@asynccontextmanager
async def sendgrid_server() -> AsyncIterator[SendGridServer]:
    server = SendGridServer()
    app = web.Application(client_max_size=30 * 1024 * 1024)
    app.router.add_post("/v3/mail/send", server.mail_send)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
