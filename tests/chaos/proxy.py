"""A TCP proxy in front of Redis that can cut replies short, be slow, and fall silent."""

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field

_CUT_WITHIN = 0.5  # seconds in which a connection gets a reply to be cut; then it is reset anyway
_ARRIVAL = 0.005  # seconds for the first part of a reply to arrive before the reset


@dataclass(eq=False)
class _Line:
    """A client's connection, and ours to the server for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    is_to_be_cut: bool = False

    def reset(self) -> None:
        """Both ends, with RST: what is on its way is lost."""
        for writer in (self.client, self.server):
            connection = writer.get_extra_info("socket")
            with suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(eq=False)
class Proxy:
    """Passes bytes between clients and the server at `port`, until told to misbehave.

    All methods are for the thread of its event loop.
    """

    upstream_port: int
    port: int = 0
    cut_replies: int = 0
    _lines: set[_Line] = field(default_factory=set)
    _serving: "set[asyncio.Task[None]]" = field(default_factory=set)
    _requests_flow: asyncio.Event = field(default_factory=_open)
    _replies_flow: asyncio.Event = field(default_factory=_open)
    _delay: float = 0
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.speak(is_lost=True)
        if self._serving:
            await asyncio.wait(self._serving)

    def cut(self) -> None:
        """Cut every connection in the middle of its next reply."""
        marked = list(self._lines)
        for line in marked:
            line.is_to_be_cut = True
        asyncio.get_running_loop().call_later(_CUT_WITHIN, self._reset, marked)

    def slow_down(self, seconds: float) -> None:
        """Let every piece of a reply wait; 0 ends it."""
        self._delay = seconds

    def hush(self, *, requests: bool) -> None:
        """Hold replies back, and requests too if asked; connections stay open and say nothing."""
        self._replies_flow.clear()
        if requests:
            self._requests_flow.clear()

    def speak(self, *, is_lost: bool) -> None:
        """Deliver what was held back, or lose it and reset the connections."""
        if is_lost:
            self._reset(list(self._lines))
        self._requests_flow.set()
        self._replies_flow.set()

    def _reset(self, lines: list[_Line]) -> None:
        for line in lines:
            if line in self._lines:
                line.reset()

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, client))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            client.transport.abort()
            return
        line = _Line(client, server)
        self._lines.add(line)
        pumps = [
            asyncio.create_task(self._pass_requests(reader, line)),
            asyncio.create_task(self._pass_replies(answers, line)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        self._lines.discard(line)
        line.reset()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _pass_requests(self, reader: asyncio.StreamReader, line: _Line) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._requests_flow.wait()
                line.server.write(data)
                await line.server.drain()

    async def _pass_replies(self, reader: asyncio.StreamReader, line: _Line) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._replies_flow.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                if line.is_to_be_cut:
                    data = data[: random.randrange(len(data))]  # noqa: S311 - no secret
                    self.cut_replies += 1
                line.client.write(data)
                await line.client.drain()
                if line.is_to_be_cut:
                    await asyncio.sleep(_ARRIVAL)
                    return
