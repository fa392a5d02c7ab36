"""Sentry's side of its envelope protocol: takes what the SDK sends, on a real socket."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

KEY, SECRET, PROJECT = "0a1b2c3d4e5f", "s3cr3t9f8e7d", 7


@dataclass
class Envelopes:
    """What came. `status` is what the next ones are answered with, `delay` in seconds before."""

    port: int = 0
    status: int = 200
    delay: float = 0
    bodies: list[bytes] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return f"http://{KEY}:{SECRET}@127.0.0.1:{self.port}/{PROJECT}"

    async def take(self, request: web.Request) -> web.Response:
        if f"sentry_key={KEY}" not in request.headers.get("X-Sentry-Auth", ""):
            self.strangers.append(request.path)
            return web.json_response({"detail": "bad key"}, status=403)
        body = await request.read()  # aiohttp has undone its compression
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        await asyncio.sleep(self.delay)
        self.bodies.append(body)
        if self.status == 200:
            self.events += list(_events(body))
        return web.json_response({"id": "1"}, status=self.status)


def _events(body: bytes) -> list[dict[str, Any]]:
    """The items that are events: a header line each, then so many bytes as it says."""
    _, rest = body.split(b"\n", 1)
    events = []
    while rest.strip():
        line, rest = rest.split(b"\n", 1)
        header = orjson.loads(line)
        length = header.get("length", rest.find(b"\n"))
        item, rest = rest[:length], rest[length:].lstrip(b"\n")
        if header["type"] == "event":
            events.append(orjson.loads(item))
    return events


@asynccontextmanager
async def envelopes() -> AsyncIterator[Envelopes]:
    stand_in = Envelopes()
    app = web.Application()
    app.router.add_post(f"/api/{PROJECT}/envelope/", stand_in.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stand_in.port = runner.addresses[0][1]
    try:
        yield stand_in
    finally:
        await runner.cleanup()
