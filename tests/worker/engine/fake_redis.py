"""A server that speaks Redis' protocol and otherwise does as a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import hiredis

# Gets a command's words and writes what it likes.
Behaviour: TypeAlias = Callable[[list[bytes], asyncio.StreamWriter], Awaitable[None]]

# What a connection begins with: redis-py names itself and pings, the wire asks for RESP3.
_GREETINGS = {
    b"CLIENT": b"+OK\r\n",
    b"PING": b"+PONG\r\n",
    b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n",
}


async def echo(command: list[bytes], writer: asyncio.StreamWriter) -> None:
    """`ECHO word` is answered with the word, anything else with OK."""
    writer.write(bulk(command[1]) if command[0] == b"ECHO" else b"+OK\r\n")


def bulk(word: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(word), word)


@dataclass
class FakeRedis:
    """`behaviour` answers what is no greeting; `greetings` may be changed, None says nothing."""

    behaviour: Behaviour = echo
    greetings: dict[bytes, bytes | None] = field(default_factory=lambda: {**_GREETINGS})
    seen: list[list[bytes]] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    url: str = ""

    @property
    def connections(self) -> int:
        return len(self.writers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        parser = hiredis.Reader()
        try:
            while data := await reader.read(65_536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    await self._answer(command, writer)
        except ConnectionError:
            pass  # the test's doing
        finally:
            writer.close()

    async def _answer(self, command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if command[0] in self.greetings:
            writer.write(self.greetings[command[0]] or b"")
        else:
            self.seen.append(command)
            await self.behaviour(command, writer)


@asynccontextmanager
async def fake_redis() -> AsyncIterator[FakeRedis]:
    fake = FakeRedis()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for writer in fake.writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # so that the handlers see it
