"""What goes wrong at a stand-in, and the endpoint that says so from another process.

GET    /__control/accepted   everything that was accepted, as JSON
PUT    /__control/fault      {"kind": "lost", "status": 503, "times": 3}; no times: until changed
DELETE /__control/fault      nothing goes wrong any more
"""

import argparse
import asyncio
import json
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from aiohttp import web

Kind = Literal[
    "throttled",  # 429, nothing done
    "throttled_until",  # 429 that says until when
    "broken",  # 5xx, nothing done
    "lost",  # accepted, and then 5xx
    "hangs",  # accepted, and then no answer
    "drops",  # accepted, and then the connection breaks
    "edge",  # refused by the edge, in HTML
]


@dataclass
class Fault:
    """`status` is that of broken and lost ones; `times` None: until somebody changes it."""

    kind: Kind
    status: int = 503
    times: int | None = None


@dataclass
class Faults:
    """The fault of now, if any."""

    fault: Fault | None = None

    def next(self) -> Fault | None:
        """The fault of one request, which is one time less of it."""
        fault = self.fault
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.fault = None
        return fault


class Controlled(Protocol):
    faults: Faults

    def about(self) -> dict[str, str]: ...

    def tell(self, url: str | None) -> None: ...

    def accepted_as_json(self) -> list[dict[str, Any]]: ...


def control_routes(server: Controlled) -> list[web.RouteDef]:
    async def accepted(request: web.Request) -> web.Response:
        return web.json_response(server.accepted_as_json())

    async def set_fault(request: web.Request) -> web.Response:
        server.faults.fault = Fault(**cast("dict[str, Any]", await request.json()))
        return web.Response(status=204)

    async def clear_fault(request: web.Request) -> web.Response:
        server.faults.fault = None
        return web.Response(status=204)

    async def tell(request: web.Request) -> web.Response:
        server.tell((await request.json())["url"])
        return web.Response(status=204)

    return [
        web.put("/__control/tell", tell),
        web.get("/__control/accepted", accepted),
        web.put("/__control/fault", set_fault),
        web.delete("/__control/fault", clear_fault),
    ]


async def after_accepting(request: web.Request, fault: Fault | None) -> web.Response | None:
    """What becomes of the answer to something that was accepted; None: it is given."""
    match fault:
        case Fault(kind="hangs"):
            await asyncio.sleep(3600)
        case Fault(kind="drops"):
            assert request.transport is not None
            request.transport.abort()
            await asyncio.sleep(3600)  # until it is cancelled with its connection
        case Fault(kind="lost"):
            return web.Response(status=fault.status, text="<html>oops</html>")
    return None


def serve_until_stopped(
    open_server: Callable[[argparse.Namespace], AbstractAsyncContextManager[Controlled]],
    add_options: Callable[[argparse.ArgumentParser], object],
) -> None:
    """The `__main__` of a stand-in: prints what it is in a line of JSON, runs until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    add_options(parser)
    options = parser.parse_args()

    async def serve() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(open_server(options))
            print(json.dumps(server.about()), flush=True)  # noqa: T201 - whoever started it waits for this line
            await stopped.wait()

    asyncio.run(serve())


async def started(app: web.Application, port: int, stack: AsyncExitStack) -> str:
    """Serve on loopback; returns the URL. A handler ends with its connection."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
