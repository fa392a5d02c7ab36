"""A receiver of Standard Webhooks on a real socket: takes what is signed, and each id once."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, ok").decode()
_TOLERANCE = 300  # seconds


@dataclass
class Receiver:
    """`events` are those it took, `answers` what it says next in the place of 204.

    `requests` are the headers of all that reached it; while `hangs` it answers nobody.
    """

    port: int = 0
    secret: str = SECRET
    events: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    hangs: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/t0psecret?key=t0psecret"

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append(dict(request.headers))
        while self.hangs:
            await asyncio.sleep(0.05)
        if not self._is_signed(request, body):
            return web.Response(status=401)
        if self.answers:
            return self.answers.pop(0)
        message_id = request.headers["webhook-id"]
        if message_id not in self.ids:
            self.ids.append(message_id)
            self.events.append(await request.json())
        return web.Response(status=204)

    def _is_signed(self, request: web.Request, body: bytes) -> bool:
        message_id, sent_at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        if abs(time.time() - int(sent_at)) > _TOLERANCE or "." in message_id:
            return False
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        digest = hmac.digest(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256)
        expected = "v1," + base64.b64encode(digest).decode()
        offered = request.headers["webhook-signature"].split(" ")
        return any(hmac.compare_digest(expected, one) for one in offered)


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hooks/t0psecret", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        receiver.hangs = False
        await runner.cleanup()
