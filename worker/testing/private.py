"""Servers of a test's own, for the length of a `with` block (the extra `embedded` has them)."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.embedded import start_postgres, start_valkey
from worker.migrate import migrate


@contextmanager
def private_redis() -> Iterator[str]:
    """The URL of an empty Valkey that nobody else can reach, gone with its data at the end.

    From the main thread. Raises EmbeddedError when there is none to start.
    """
    with tempfile.TemporaryDirectory(prefix="deskhand-", ignore_cleanup_errors=True) as folder:
        server = start_valkey(Path(folder), is_durable=False)
        try:
            yield server.url
        finally:
            server.stop()


@contextmanager
def private_postgres() -> Iterator[str]:
    """The URL of a PostgreSQL with our tables, in the same way. Starting takes some seconds.

    From the main thread, where no event loop runs. Raises EmbeddedError.
    """
    with tempfile.TemporaryDirectory(prefix="deskhand-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # started by root it runs as another user
        server = start_postgres(Path(folder), is_durable=False)
        try:
            asyncio.run(migrate(server.url))
            yield server.url
        finally:
            server.stop()
