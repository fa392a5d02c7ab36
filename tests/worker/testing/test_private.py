import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own: servers are started from a main thread without an event loop.
SCRIPT = """
import asyncio, asyncpg, sys
from worker.testing import Rig, open_rig_pool, private_postgres, private_redis

async def count(url):
    connection = await asyncpg.connect(url)
    print(await connection.fetchval("select count(*) from deliveries"))
    await connection.close()

async def size(url):
    pool = open_rig_pool(url)
    print(await pool.dbsize())
    await pool.aclose()

with private_postgres() as url:
    asyncio.run(count(url))
with private_redis() as url:
    asyncio.run(size(url))
"""


@pytest.mark.integration
def test_private_servers_are_empty_have_our_tables_and_leave_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.split()) == (0, ["0", "0"]), done.stderr
    assert list(tmp_path.iterdir()) == []
