"""Everything the workers meet: servers, the proxy, a mail relay, and producers beside them.

The main thread starts processes and plays the faults. What serves (proxy, relay, producers) and
what looks at the servers runs on an event loop in a thread of its own.
"""

import asyncio
import concurrent.futures
import os
import random
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import trustme

from tests.chaos.proxy import Proxy
from tests.chaos.servers import Postgres, Valkey
from tests.clients.stand_ins.smtp_relay import SmtpRelay, smtp_relay
from worker.migrate import migrate

T = TypeVar("T")

_HANGS_UP = 0.01  # share of mails that the relay takes, and never says so


class Background:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T], within: float = 120) -> T:
        """The result. Raises what it raises, and TimeoutError after `within` seconds."""
        return self.start(coroutine).result(within)

    def call(self, function: Callable[[], None]) -> None:
        """Have it done there, soon."""
        self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@dataclass(frozen=True)
class World:
    directory: Path
    valkey: Valkey
    postgres: Postgres
    proxy: Proxy
    relay: SmtpRelay
    background: Background

    def environment(self, *, lease: float, grace: float) -> dict[str, str]:
        """What a worker is told. It reaches Redis through the proxy."""
        return {
            "PATH": os.defpath,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": f"redis://127.0.0.1:{self.proxy.port}",
            "VAR_DIR": str(self.directory / "var"),
            "PORT": "0",
            "RUN_LEASE": f"{lease:g}",
            "SHUTDOWN_GRACE": f"{grace:g}",
            "QUEUE_CONCURRENCY": '{"default": 20}',
            "DATABASE_POOL_SIZE": "5",
            "EMAIL_PROVIDER": "smtp",
            "EMAIL_FROM": "chaos@ours.example",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.relay.port),
            "SMTP_SECURITY": "none",
            # Every record stays, to be counted.
            "KEEP_COMPLETED": "1000000",
            "KEEP_FAILED": "1000000",
            "KEEP_DAYS": "30",
        }


@contextmanager
def open_servers(directory: Path) -> Iterator[tuple[Valkey, Postgres, Background]]:
    """In an empty directory, with our tables; stopped in reverse."""
    for name in ("marks", "starts", "logs"):
        (directory / name).mkdir()
    with ExitStack() as stack:
        valkey, postgres, background = Valkey(directory), Postgres(directory), Background()
        stack.callback(background.close)
        stack.callback(valkey.kill)
        valkey.start()
        postgres.start()
        stack.callback(postgres.stop)
        background.run(migrate(postgres.url))
        yield valkey, postgres, background


@contextmanager
def open_world(directory: Path) -> Iterator[World]:
    """Start it all in an empty directory; stop it in reverse."""
    with open_servers(directory) as (valkey, postgres, background):
        services = AsyncExitStack()
        try:
            proxy, relay = background.run(_serve(services, valkey.port))
            yield World(directory, valkey, postgres, proxy, relay, background)
        finally:
            background.run(services.aclose())


async def _serve(services: AsyncExitStack, redis_port: int) -> tuple[Proxy, SmtpRelay]:
    proxy = Proxy(redis_port)
    await proxy.start()
    services.push_async_callback(proxy.stop)
    relay = await services.enter_async_context(
        smtp_relay(trustme.CA(), security="none", has_auth=False)
    )
    relay.on_data = _be_a_relay
    return proxy, relay


async def _be_a_relay(transport: asyncio.Transport) -> None:
    """Take a moment, and now and then hang up on a mail that was taken."""
    await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 - as relays do
    if random.random() < _HANGS_UP:  # noqa: S311 - the same
        transport.abort()
