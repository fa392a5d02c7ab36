"""The events of runs as they happen, as a stream of server-sent events (WHATWG HTML, 9.2)."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from typing import Final

from aiohttp import web
from pydantic import Field
from pydantic_core import to_json

from worker.events import Event
from worker.sidecar.access.principal import Role
from worker.sidecar.api.errors import refusing
from worker.sidecar.api.operation import Call, Parameters, operation
from worker.sidecar.api.tail import Follower, place_of
from worker.telemetry.logs import get_logger

KEEP_ALIVE: Final = 15.0  # seconds
_LOOK_EVERY: Final = 0.5  # seconds until we see that somebody is gone
_RETRY_MS: Final = 3000
_WRITE_TIMEOUT: Final = 30.0  # seconds, for somebody who takes nothing
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # that nginx passes them on at once
}
_log = get_logger(__name__)


class Following(Parameters):
    queue: str | None = Field(None, max_length=100)
    job: str | None = Field(None, max_length=200)
    since: float | None = Field(
        None, ge=0, le=86_400, description="Begin with those of so many seconds ago."
    )


@operation(
    "GET",
    "/events",
    tag="events",
    role=Role.VIEWER,
    media_type="text/event-stream",
    summary="What happens to runs, as it happens.",
)
async def follow_events(call: Call[Following, None]) -> web.StreamResponse:
    """Events have an id, a kind (`added`, `active`, `completed` …) and JSON without payloads.

    With the header `Last-Event-ID` it goes on behind that one. A follower that is too slow gets
    `overflow`, and has to ask again. A comment comes every 15 s. It ends with the token by
    which one signed in.
    """
    asked, tail = call.parameters, call.services.events
    since: timedelta | str | None = call.request.headers.get("Last-Event-ID") or None
    if isinstance(since, str):
        with refusing("Last-Event-ID"):
            place_of(since)
    elif asked.since is not None:
        since = timedelta(seconds=asked.since)

    def matches(event: Event) -> bool:
        return asked.queue in (None, event.queue) and asked.job in (None, event.job)

    principal = call.principal
    async with tail.following(matches, (principal.credential, principal.name)) as follower:
        response = web.StreamResponse(headers={**_HEADERS, "X-Request-ID": call.request_id})
        await response.prepare(call.request)
        try:
            await _write(response, b"retry: %d\n\n" % _RETRY_MS)
            last = (0, 0, 0)
            if since is not None:
                async with aclosing(tail.earlier(since)) as earlier:
                    async for event in earlier:
                        last = place_of(event.event_id)
                        if matches(event):
                            await _write(response, _message(event))
            await _follow(call, response, follower, last)
        except (ConnectionError, TimeoutError):
            pass  # they are gone, or take nothing
        except Exception as error:  # noqa: BLE001 - too late for another answer; they come again
            _log.warning("A stream of events broke off", error_type=type(error).__name__)
        return response


async def _follow(
    call: Call[Following, None],
    response: web.StreamResponse,
    follower: Follower,
    last: tuple[int, int, int],
) -> None:
    """What comes behind the last one that was sent, until they are gone, or may not any more."""
    clock = asyncio.get_running_loop().time
    written_at = clock()
    while call.services.clock().timestamp() < call.principal.ends_at:
        transport = call.request.transport
        if transport is None or transport.is_closing():
            return
        try:
            async with asyncio.timeout(_LOOK_EVERY):
                event = await follower.get()
        except TimeoutError:
            if clock() - written_at >= KEEP_ALIVE:
                await _write(response, b": still here\n\n")
                written_at = clock()
            continue
        if event is None:
            if follower.is_behind:
                await _write(response, b"event: overflow\ndata: {}\n\n")
            return
        if place_of(event.event_id) > last:
            await _write(response, _message(event))
            written_at = clock()


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(_WRITE_TIMEOUT):
        await response.write(data)


def _message(event: Event) -> bytes:
    """JSON has no line breaks, and ids and kinds are our own words."""
    seconds = None if event.duration is None else event.duration.total_seconds()
    fields = {
        "event_id": event.event_id,
        "at": event.at,
        "kind": event.kind.value,
        "queue": event.queue,
        "run_id": event.run_id,
        "job": event.job,
        "attempt": event.attempt,
        "duration_seconds": seconds,
        "error_type": event.error_type,
        "worker": event.worker,
        "crashes": event.crashes,
        "fraction": event.fraction,
        "message": event.message,
    }
    data = to_json({name: value for name, value in fields.items() if value is not None})
    head = f"id: {event.event_id}\nevent: {event.kind.value}\ndata: "
    return head.encode() + data + b"\n\n"
