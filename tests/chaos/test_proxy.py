"""The proxy does to connections what the suite says it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from time import monotonic

import pytest

from tests.chaos.proxy import Proxy

REPLY = b"$5\r\nhello\r\n"


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that answers every piece of a request with REPLY."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while await reader.read(100):
                writer.write(REPLY)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    yield proxy
    await proxy.stop()
    server.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self) -> bytes:
        """All there is of a reply; fewer bytes when the connection ended."""
        self._writer.write(b"?")
        got = b""
        with suppress(OSError):
            while len(got) < len(REPLY) and (data := await self._reader.read(100)):
                got += data
        return got


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield Client(reader, writer)
    writer.transport.abort()


async def test_bytes_pass(client: Client) -> None:
    assert await client.ask() == REPLY
    assert await client.ask() == REPLY


async def test_a_reply_is_cut_in_the_middle_and_the_next_connection_is_whole(
    proxy: Proxy, client: Client
) -> None:
    await client.ask()

    proxy.cut()
    part = await client.ask()

    assert len(part) < len(REPLY)
    assert REPLY.startswith(part)
    assert proxy.cut_replies == 1
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await Client(reader, writer).ask() == REPLY
    writer.transport.abort()


async def test_a_connection_without_a_reply_to_cut_is_reset_soon(
    proxy: Proxy, client: Client
) -> None:
    await client.ask()

    proxy.cut()
    await asyncio.sleep(0.7)

    assert await client.ask() == b""


@pytest.mark.parametrize("requests", [True, False])
async def test_silence_holds_a_reply_back_until_it_ends(
    proxy: Proxy, client: Client, *, requests: bool
) -> None:
    await client.ask()
    proxy.hush(requests=requests)
    asking = asyncio.create_task(client.ask())

    done, _ = await asyncio.wait([asking], timeout=0.2)
    proxy.speak(is_lost=False)

    assert not done
    assert await asking == REPLY


async def test_what_is_lost_in_a_silence_never_arrives(proxy: Proxy, client: Client) -> None:
    await client.ask()
    proxy.hush(requests=False)
    asking = asyncio.create_task(client.ask())
    await asyncio.sleep(0.1)

    proxy.speak(is_lost=True)

    assert await asking == b""


async def test_a_slow_line_is_slow_until_it_is_not(proxy: Proxy, client: Client) -> None:
    proxy.slow_down(0.2)
    began = monotonic()

    assert await client.ask() == REPLY
    assert monotonic() - began >= 0.2
    proxy.slow_down(0)
    assert await client.ask() == REPLY
