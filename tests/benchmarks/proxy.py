"""A way to a server that takes longer in each direction, as a network would.

    python -m tests.benchmarks.proxy SERVER PARENT [MILLISECONDS]

SERVER is a unix socket, or a port of 127.0.0.1; it takes 1 ms more each way unless told otherwise.
Prints the TCP port of 127.0.0.1 where it listens, and ends with the process PARENT. What is on its
way does not hold up what follows: throughput is not limited. asyncio's usual selector rounds
timeouts up to whole milliseconds, select(2) does not.
"""

import asyncio
import os
import selectors
import sys
from collections import deque
from functools import partial

from typing_extensions import override

DELAY = 0.001  # seconds, each way, unless told otherwise


class OneWay(asyncio.Protocol):
    """Passes on what arrives to `other`, later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._transport: asyncio.Transport | None = None
        self.other: OneWay | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        due = self._loop.time() + self._delay
        self._waiting.append((due, data))
        if len(self._waiting) == 1:
            self._loop.call_at(due, self._pass_on)

    def _pass_on(self) -> None:
        """In order, and without a timer for each: what is due goes, the rest gets the next one."""
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            self.send_other(self._waiting.popleft()[1])
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._pass_on)

    def send_other(self, data: bytes) -> None:
        if self.other is not None and self.other._transport is not None:
            self.other._transport.write(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other._transport is not None:
            self._loop.call_later(self._delay, self.other._transport.close)


class Inward(OneWay):
    """A client's connection, which opens the one to the server."""

    def __init__(self, server: str, delay: float) -> None:
        super().__init__(delay)
        self._server = server
        self._connecting: asyncio.Task[None] | None = None
        self._early: list[bytes] = []

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        make = partial(OneWay, self._delay)
        if self._server.isdigit():
            _, outward = await self._loop.create_connection(make, "127.0.0.1", int(self._server))
        else:
            _, outward = await self._loop.create_unix_connection(make, self._server)
        outward.other = self
        self.other = outward
        for data in self._early:
            self.send_other(data)

    @override
    def send_other(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            super().send_other(data)


async def serve(target: str, parent: int, delay: float) -> None:
    """Listen until `parent` is gone."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Inward(target, delay), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        await asyncio.sleep(1)


def main() -> None:
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    target, parent, *milliseconds = sys.argv[1:]
    delay = float(milliseconds[0]) / 1000 if milliseconds else DELAY
    loop.run_until_complete(serve(target, int(parent), delay))


if __name__ == "__main__":
    main()
