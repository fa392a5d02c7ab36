import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from tests.benchmarks.peer import ROOT
from tests.benchmarks.proxy import DELAY


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def test_the_proxy_delays_each_way_and_keeps_the_order() -> None:
    """What follows is not held up: a thousand messages take little longer than one."""
    with TemporaryDirectory() as directory:
        socket = str(Path(directory) / "s")
        async with await asyncio.start_unix_server(echo, socket):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.benchmarks.proxy", socket, str(os.getpid())),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                assert process.stdout is not None
                port = int(await process.stdout.readline())
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                began = monotonic()
                writer.write(b"ping")
                assert await reader.readexactly(4) == b"ping"
                assert monotonic() - began >= 2 * DELAY

                began = monotonic()
                sent = [b"%04d" % number for number in range(1000)]
                for one in sent:
                    writer.write(one)
                    await asyncio.sleep(0)
                assert await reader.readexactly(4000) == b"".join(sent)
                assert monotonic() - began < 1000 * 2 * DELAY
                writer.close()
                await writer.wait_closed()
            finally:
                process.kill()
                await process.wait()
