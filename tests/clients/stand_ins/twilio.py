"""Twilio's Messages resource as its documentation has it, on a real socket.

    python -m tests.clients.stand_ins.twilio --port 8026 --inbound http://127.0.0.1:8500/…

prints its URL and account as JSON; its control endpoint is described in `control.py`, and has
besides `POST /__control/inbound` {"from": …, "to": …, "body": …}: somebody writes to a number.
"""

import argparse
import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from clients.sms_text import length
from tests.clients.stand_ins.control import (
    Fault,
    Faults,
    after_accepting,
    control_routes,
    serve_until_stopped,
    started,
)
from tests.clients.stand_ins.twilio_callbacks import Callbacks

ACCOUNT_SID = "AC0000000000000000000000000000000a"
AUTH_TOKEN = "auth-token-of-the-stand-in"
FROM = "+15005550006"  # the one valid sender of test credentials
_BASE = f"/2010-04-01/Accounts/{ACCOUNT_SID}"
# Twilio's magic numbers, and two of our own.
_MAGIC = {
    "+15005550001": (21211, "The 'To' number {to} is not a valid phone number."),
    "+15005550009": (21614, "'To' number: {to}, is not a mobile number"),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
}
THROTTLED_NUMBER, LOST_NUMBER = "+15005550429", "+15005550500"
_STOP = {"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"}
_START = {"START", "YES", "UNSTOP"}
_LONGEST = 1600
_SERVICE = re.compile("MG[0-9a-f]{32}")
_SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")


@dataclass
class TwilioServer:
    """`messages` are what it accepted, the oldest first; `opted_out` are (from, to) of STOP."""

    url: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    status_callbacks: dict[str, str] = field(default_factory=dict)
    forms: list[dict[str, str]] = field(default_factory=list)
    opted_out: set[tuple[str, str]] = field(default_factory=set)
    # Numbers that cannot send; None: all can.
    own_numbers: set[str] | None = None
    faults: Faults = field(default_factory=Faults)
    callbacks: Callbacks = field(default_factory=lambda: Callbacks(AUTH_TOKEN))
    now: datetime | None = None
    pages: int = 0  # of lists, that were asked for

    def about(self) -> dict[str, str]:
        return {"url": self.url, "account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}

    def tell(self, url: str | None) -> None:
        self.callbacks.inbound_url = url

    def accepted_as_json(self) -> list[dict[str, Any]]:
        return [
            {**message, "status_callback": self.status_callbacks.get(message["sid"])}
            for message in self.messages
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.next()
        refused = _unauthorized(request) or _faulty(fault)
        if refused is not None:
            return refused
        if request.content_type != "application/x-www-form-urlencoded":
            return refusal(400, 21604, "A 'To' phone number is required.")  # it read no form
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form.get("To") == THROTTLED_NUMBER:
            return refusal(429, 20429, "Too Many Requests")
        if problem := self._problem(form):
            return refusal(400, *problem)
        self.forms.append(form)
        message = self._accepted(form)
        self.callbacks.tell_of(message, self.status_callbacks.get(message["sid"]))
        if form["To"] == LOST_NUMBER:
            fault = Fault("lost", status=500)
        if (lost := await after_accepting(request, fault)) is not None:
            return lost
        return web.json_response(message, status=201)

    def _problem(self, form: Mapping[str, str]) -> tuple[int, str] | None:
        return self._sender_problem(form) or self._number_problem(form) or _text_problem(form)

    def _sender_problem(self, form: Mapping[str, str]) -> tuple[int, str] | None:
        sender, service = form.get("From"), form.get("MessagingServiceSid")
        if not sender and not service:
            return 21603, "A 'From' phone number is required."
        if service and not _SERVICE.fullmatch(service):
            return 21705, "The Messaging Service Sid is invalid."
        is_own = self.own_numbers is None or sender in self.own_numbers
        if sender and not (is_own and _SENDER.fullmatch(sender)):
            return 21606, f"The 'From' phone number {sender} is not a valid, SMS-capable number."
        return None

    def _number_problem(self, form: Mapping[str, str]) -> tuple[int, str] | None:
        to, sender = form.get("To"), form.get("From") or form.get("MessagingServiceSid", "")
        if not to:
            return 21604, "A 'To' phone number is required."
        if not re.fullmatch(r"\+[1-9]\d{6,14}", to):
            return 21211, f"The 'To' number {to} is not a valid phone number."
        if to in _MAGIC:
            return _MAGIC[to][0], _MAGIC[to][1].format(to=to)
        if (sender, to) in self.opted_out:
            return 21610, "Attempt to send to unsubscribed recipient"
        return None

    def _accepted(self, form: Mapping[str, str]) -> dict[str, Any]:
        sid = f"SM{len(self.messages) + 1:032x}"
        created = format_datetime(self.now or datetime.now(UTC))
        message = {
            "sid": sid,
            "account_sid": ACCOUNT_SID,
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "status": "accepted" if "MessagingServiceSid" in form else "queued",
            "to": form["To"],
            "from": form.get("From"),
            "body": form.get("Body", ""),
            "direction": "outbound-api",
            "num_segments": str(length(form.get("Body", "")).segments),
            "num_media": "0",
            "price": None,
            "price_unit": "USD",
            "error_code": None,
            "error_message": None,
            "date_created": created,
            "date_updated": created,
            "date_sent": None,
            "api_version": "2010-04-01",
            "uri": f"{_BASE}/Messages/{sid}.json",
            "subresource_uris": {"media": f"{_BASE}/Messages/{sid}/Media.json"},
        }
        if callback := form.get("StatusCallback"):
            self.status_callbacks[sid] = callback
        self.messages.append(message)
        return message

    async def list(self, request: web.Request) -> web.Response:
        refused = _unauthorized(request) or _faulty(self.faults.next())
        if refused is not None:
            return refused
        self.pages += 1
        query = request.query
        found = [one for one in reversed(self.messages) if _matches(one, query)]
        size = min(int(query.get("PageSize", "50")), 1000)
        page = int(query.get("Page", "0"))
        token = query.get("PageToken", "")
        if page and not token:
            return refusal(400, 20001, "Page without PageToken")
        # The token names the last one of the page before: what is new since then shifts nothing.
        sids = [one["sid"] for one in found]
        start = sids.index(token.removeprefix("PA")) + 1 if token else 0
        shown = found[start : start + size]
        more = {**query, "PageSize": str(size), "Page": str(page + 1)}
        following = None
        if len(found) > start + size:
            more["PageToken"] = f"PA{shown[-1]['sid']}"
            following = f"{_BASE}/Messages.json?{urlencode(more)}"
        return web.json_response(
            {
                "messages": shown,
                "page": page,
                "page_size": size,
                "start": start,
                "end": start + max(len(shown) - 1, 0),
                "uri": request.path_qs,
                "first_page_uri": f"{_BASE}/Messages.json?PageSize={size}&Page=0",
                "previous_page_uri": None,
                "next_page_uri": following,
            }
        )

    async def show(self, request: web.Request) -> web.Response:
        if (refused := _unauthorized(request)) is not None:
            return refused
        found = [one for one in self.messages if one["sid"] == request.match_info["sid"]]
        if not found:
            return refusal(404, 20404, "The requested resource was not found")
        return web.json_response(found[0])

    async def receive(
        self, *, sender: str, to: str, body: str, has_advanced_opt_out: bool = False
    ) -> int:
        """Somebody answers: STOP and START are heard by Twilio itself, too."""
        word = body.strip().upper()
        opt_out = None
        if word in _STOP:
            self.opted_out.add((to, sender))
            opt_out = "STOP"
        elif word in _START:
            self.opted_out.discard((to, sender))
            opt_out = "START"
        elif word in {"HELP", "INFO"}:
            opt_out = "HELP"
        return await self.callbacks.receive(
            account_sid=ACCOUNT_SID,
            sender=sender,
            to=to,
            body=body,
            opt_out=opt_out if has_advanced_opt_out else None,
        )

    async def receive_as_told(self, request: web.Request) -> web.Response:
        told = await request.json()
        status = await self.receive(sender=told["from"], to=told["to"], body=told["body"])
        return web.json_response({"status": status})


def refusal(status: int, code: int, message: str) -> web.Response:
    """An error body as Twilio writes it."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = {"code": code, "message": message, "more_info": more, "status": status}
    return web.json_response(body, status=status)


def _unauthorized(request: web.Request) -> web.Response | None:
    credential = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
    if request.headers.get("Authorization") != f"Basic {credential}":
        return refusal(401, 20003, "Authenticate")
    if request.match_info["account"] != ACCOUNT_SID:
        return refusal(404, 20404, "The requested resource was not found")
    return None


def _faulty(fault: Fault | None) -> web.Response | None:
    match fault:
        case Fault(kind="throttled" | "throttled_until"):
            return refusal(429, 20429, "Too Many Requests")  # it never says until when
        case Fault(kind="broken"):
            return refusal(fault.status, 20500, "Internal Server Error")
        case Fault(kind="edge"):
            return web.Response(status=413, text="<html>413</html>", content_type="text/html")
    return None


def _text_problem(form: Mapping[str, str]) -> tuple[int, str] | None:
    if not (form.get("Body") or form.get("MediaUrl") or form.get("ContentSid")):
        return 21602, "Message body is required."
    if len(form.get("Body", "")) > _LONGEST:
        return 21617, "The concatenated message body exceeds the 1600 character limit."
    if not 1 <= int(form.get("ValidityPeriod", "36000")) <= 36_000:
        return 21623, "The ValidityPeriod is out of range."
    callback = form.get("StatusCallback")
    if callback and ("_" in (urlsplit(callback).hostname or "_")):
        return 21609, f"The 'StatusCallback' URL {callback} is not a valid URL."
    return None


def _matches(message: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """By To and From; by DateSent those only that were sent."""
    if any(name.startswith("DateSent") for name in query) and message["date_sent"] is None:
        return False
    is_to = "To" not in query or message["to"] == query["To"]
    return is_to and ("From" not in query or message["from"] == query["From"])


@asynccontextmanager
async def twilio_server(*, port: int = 0) -> AsyncIterator[TwilioServer]:
    server = TwilioServer()
    app = web.Application()
    base = "/2010-04-01/Accounts/{account}/Messages"
    app.router.add_post(f"{base}.json", server.create)
    app.router.add_get(f"{base}.json", server.list)
    app.router.add_get(base + "/{sid}.json", server.show)
    app.router.add_post("/__control/inbound", server.receive_as_told)
    app.add_routes(control_routes(server))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.callbacks.poster.close)
        server.url = await started(app, port, stack)
        yield server


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--inbound", help="URL that inbound SMS are posted to")
    parser.add_argument("--copies", type=int, default=2, help="of each status callback")


@asynccontextmanager
async def _as_told(options: argparse.Namespace) -> AsyncIterator[TwilioServer]:
    async with twilio_server(port=options.port) as server:
        callbacks = server.callbacks
        callbacks.inbound_url, callbacks.copies = options.inbound, options.copies
        callbacks.is_telling = callbacks.is_disordered = True
        yield server


if __name__ == "__main__":
    serve_until_stopped(_as_told, _options)
