"""A Redis behind a slow line: its commands arrive at once, its answers later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class SlowRedis:
    """`delay` is in seconds, for each answer from now on."""

    def __init__(self, redis_url: str) -> None:
        self._path = urlsplit(redis_url).path
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay = 0.0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, commands = await asyncio.open_unix_connection(self._path)
        there = asyncio.create_task(self._pump(reader, commands, is_answer=False))
        back = asyncio.create_task(self._pump(answers, writer, is_answer=True))
        self._tasks |= {there, back}

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        try:
            with suppress(ConnectionError):
                while data := await reader.read(65_536):
                    if is_answer:
                        await asyncio.sleep(self.delay)
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def slow_line(redis_url: str) -> AsyncIterator[SlowRedis]:
    """A line to the server that listens on this unix socket; as fast as it until told otherwise."""
    line = SlowRedis(redis_url)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        server.close()
        await line.close()
