"""rediss:// and rediss+cluster://: a worker speaks TLS, and checks the certificate (V-02)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.worker.conftest import StartWorker
from tests.worker.constellations import QUOTED, Lone, Node
from tests.worker.testing_jobs import add_line
from worker.enqueuer import Pool
from worker.redis_pool import open_redis

FAST = {"timeout": 15, "poll_delay": 0.02}


@asynccontextmanager
async def tls_before(port: int, authority: trustme.CA) -> AsyncIterator[int]:
    """A server with a certificate for 127.0.0.1 that passes on to this port; its own port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, onward = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, onward), pass_on(behind, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("kind", ["rediss", "rediss+cluster"])
async def test_tls_is_spoken_and_the_certificate_checked(
    kind: str, start_worker: StartWorker, tmp_path: Path
) -> None:
    authority = trustme.CA()
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    node = Node(tmp_path) if kind == "rediss+cluster" else Lone(tmp_path)
    try:
        async with tls_before(node.servers[0], authority) as port:
            await node.start(announced=port)
            address = f"{kind}://:{QUOTED}@127.0.0.1:{port}"
            url = f"{address}?ssl_ca_certs={tmp_path / 'ca.pem'}"
            await start_worker(redis_url=url)
            pool = open_redis(url, Pool)
            run = await pool.enqueue_job(add_line.name, diary=tmp_path / "diary")
            assert run is not None
            assert (await run.result(**FAST))["lines"] == 1
            await pool.aclose()

            suspicious = open_redis(address, Redis)
            with pytest.raises(RedisConnectionError):
                await suspicious.ping()
    finally:
        node.stop()
