"""SendGrid's v3 API as its documentation has it, on a real socket.

    python -m tests.clients.stand_ins.sendgrid --port 8025 --events http://127.0.0.1:8500/…

prints its URL and the key of its event webhook as JSON; `control.py` says how it is controlled.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.clients.stand_ins.control import (
    Fault,
    Faults,
    after_accepting,
    control_routes,
    serve_until_stopped,
    started,
)
from tests.clients.stand_ins.sendgrid_events import EventWebhook
from tests.clients.stand_ins.sendgrid_rules import Problem, problems

API_KEY = "SG.stand-in.very-secret"
_LARGEST = 30 * 1024 * 1024  # bytes of a request
_PAUSED = 100  # batches that may wait or be cancelled


@dataclass
class SendGridServer:
    """Accepted messages, and the answer it gives instead of its own, if any."""

    url: str = ""
    accepted: list[dict[str, Any]] = field(default_factory=list)
    validated: list[dict[str, Any]] = field(default_factory=list)  # in sandbox mode
    answer: web.Response | None = None
    hangs_after_accepting: bool = False
    faults: Faults = field(default_factory=Faults)
    events: EventWebhook = field(default_factory=EventWebhook)
    # None: every sender is verified.
    verified_domains: set[str] | None = None
    has_credits: bool = True
    batches: set[str] = field(default_factory=set)
    scheduled: dict[str, str] = field(default_factory=dict)

    def about(self) -> dict[str, str]:
        return {"url": self.url, "public_key": self.events.public_key}

    def tell(self, url: str | None) -> None:
        self.events.url = url

    def accepted_as_json(self) -> list[dict[str, Any]]:
        return self.accepted

    async def mail_send(self, request: web.Request) -> web.StreamResponse:
        if self.answer is not None and self._is_known(request):
            return self.answer
        fault = self.faults.next()
        if (refused := self._before(request) or _faulty(fault)) is not None:
            return refused
        try:
            body = json.loads(await request.read())
        except ValueError:
            return refusal(400, "Bad Request")
        if (refused := self._judged(body)) is not None:
            return refused
        if body.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            self.validated.append(body)
            return web.Response(status=200)
        return await self._accept(request, body, fault)

    def _judged(self, body: Any) -> web.Response | None:
        if found := problems(body, batches=self.batches):
            return _refused(found)
        domain = body["from"]["email"].rpartition("@")[2]
        if self.verified_domains is None or domain in self.verified_domains:
            return None
        words = "The from address does not match a verified Sender Identity."
        return refusal(403, words, field_name="from")

    async def _accept(
        self, request: web.Request, body: dict[str, Any], fault: Fault | None
    ) -> web.Response:
        self.accepted.append(body)
        provider_id = f"sg-{len(self.accepted)}"
        self.events.tell_of(body, provider_id)
        if self.hangs_after_accepting:
            await asyncio.sleep(3600)
        if (lost := await after_accepting(request, fault)) is not None:
            return lost
        return web.Response(status=202, headers={"X-Message-Id": provider_id})

    async def make_batch(self, request: web.Request) -> web.Response:
        if (refused := self._before(request, is_json=False)) is not None:
            return refused
        batch_id = f"batch-{len(self.batches) + 1}"
        self.batches.add(batch_id)
        return web.json_response({"batch_id": batch_id}, status=201)

    async def show_batch(self, request: web.Request) -> web.Response:
        batch_id = request.match_info["batch_id"]
        if batch_id not in self.batches:
            return refusal(400, "invalid batch id", field_name="batch_id")
        return web.json_response({"batch_id": batch_id})

    async def schedule(self, request: web.Request) -> web.Response:
        if (refused := self._before(request)) is not None:
            return refused
        wanted = await request.json()
        if wanted.get("batch_id") not in self.batches:
            return refusal(400, "invalid batch id", field_name="batch_id")
        if wanted.get("status") not in ("pause", "cancel"):
            return refusal(400, "status must be pause or cancel", field_name="status")
        if wanted["batch_id"] in self.scheduled or len(self.scheduled) >= _PAUSED:
            return refusal(400, "a status is set already, or for too many batches")
        self.scheduled[wanted["batch_id"]] = wanted["status"]
        return web.json_response(wanted, status=201)

    async def reschedule(self, request: web.Request) -> web.Response:
        if (batch_id := request.match_info["batch_id"]) not in self.scheduled:
            return refusal(404, "not found")
        self.scheduled[batch_id] = (await request.json())["status"]
        return web.Response(status=204)

    async def unschedule(self, request: web.Request) -> web.Response:
        if self.scheduled.pop(request.match_info["batch_id"], None) is None:
            return refusal(404, "not found")
        return web.Response(status=204)

    def _is_known(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {API_KEY}"

    def _before(self, request: web.Request, *, is_json: bool = True) -> web.Response | None:
        """Refused before anybody looks at the body."""
        if not self._is_known(request):
            return refusal(401, "The provided authorization grant is invalid, expired, or revoked")
        if not self.has_credits:
            return refusal(401, "Maximum credits exceeded")
        if is_json and request.content_type != "application/json":
            return refusal(415, "Content-Type should be application/json.")
        if (request.content_length or 0) > _LARGEST:
            return _edge(413)
        return None


def _faulty(fault: Fault | None) -> web.Response | None:
    match fault:
        case Fault(kind="throttled"):
            return refusal(429, "too many requests")
        case Fault(kind="throttled_until"):
            limits = {
                "X-RateLimit-Limit": "600",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(int(time.time()) + 2),
            }
            return refusal(429, "too many requests", headers=limits)
        case Fault(kind="broken"):
            return _edge(fault.status)
        case Fault(kind="edge"):
            return _edge(413)
    return None


def _edge(status: int) -> web.Response:
    page = f"<html><head><title>{status}</title></head><body>nginx</body></html>"
    return web.Response(status=status, text=page, content_type="text/html")


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


def _refused(found: list[Problem]) -> web.Response:
    errors = [{"message": message, "field": name, "help": None} for name, message in found]
    return web.json_response({"errors": errors}, status=400)


@asynccontextmanager
async def sendgrid_server(*, port: int = 0) -> AsyncIterator[SendGridServer]:
    server = SendGridServer()
    app = web.Application(client_max_size=_LARGEST)
    app.router.add_post("/v3/mail/send", server.mail_send)
    app.router.add_post("/v3/mail/batch", server.make_batch)
    app.router.add_get("/v3/mail/batch/{batch_id}", server.show_batch)
    app.router.add_post("/v3/user/scheduled_sends", server.schedule)
    app.router.add_patch("/v3/user/scheduled_sends/{batch_id}", server.reschedule)
    app.router.add_delete("/v3/user/scheduled_sends/{batch_id}", server.unschedule)
    app.add_routes(control_routes(server))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.events.poster.close)
        server.url = await started(app, port, stack)
        yield server


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", help="URL of the event webhook")
    parser.add_argument("--copies", type=int, default=2, help="of each event")


@asynccontextmanager
async def _as_told(options: argparse.Namespace) -> AsyncIterator[SendGridServer]:
    async with sendgrid_server(port=options.port) as server:
        server.events.url = options.events
        server.events.copies, server.events.is_disordered = options.copies, True
        yield server


if __name__ == "__main__":
    serve_until_stopped(_as_told, _options)
