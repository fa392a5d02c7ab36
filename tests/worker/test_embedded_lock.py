"""One deskhand to a directory."""

import fcntl
import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from worker import embedded_lock
from worker.embedded import (
    AlreadyRunningError,
    EmbeddedError,
    running_services,
    services,
    start_postgres,
)

CHILD = """
import sys
from pathlib import Path
from worker.embedded import services
with services(Path(sys.argv[1])):
    pass
"""


def test_a_second_start_is_told_who_is_there(tmp_path: Path) -> None:
    with services(tmp_path, is_durable=False) as running:
        with pytest.raises(AlreadyRunningError) as caught, services(tmp_path):
            pass

        assert f"another deskhand (pid {os.getpid()}) is using {tmp_path}" in str(caught.value)
        assert "VAR_DIR" in str(caught.value)
        assert running.database_url in str(caught.value)
        assert running.redis_url in str(caught.value)


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()

    with pytest.raises(EmbeddedError, match=f"cannot write to {tmp_path}"), services(tmp_path):
        pass


def test_a_start_after_one_killed_while_it_made_the_cluster(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], cwd=Path(__file__).parents[2]
    ) as child:
        deadline = time.monotonic() + 20
        while not (tmp_path / "postgres.new/PG_VERSION").exists():
            assert time.monotonic() < deadline
        child.kill()

    with services(tmp_path, is_durable=False):
        assert not (tmp_path / "postgres.new").exists()


def test_servers_left_behind_by_a_killed_one_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_lock, "DEADLINE", timedelta(seconds=0.2))
    with subprocess.Popen([sys.executable, "-c", ""]) as owner:
        owner.wait()
    record = {"pid": owner.pid, "servers": [11, 12], "urls": [], "sockets": []}
    (tmp_path / "lock").write_text(json.dumps(record))

    with (tmp_path / "lock").open() as held_by_a_server:
        fcntl.flock(held_by_a_server, fcntl.LOCK_EX)
        told = pytest.raises(AlreadyRunningError, match=r"was killed .* \(kill 11 12\)")
        with told, services(tmp_path):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_data_of_another_user_is_refused(tmp_path: Path) -> None:
    start_postgres(tmp_path, is_durable=False).stop()
    os.chown(tmp_path / "postgres", 4242, 4242)

    with pytest.raises(EmbeddedError, match="belongs to uid 4242, but this is uid 0: start as"):
        start_postgres(tmp_path)


def test_a_short_command_finds_running_services_and_only_those(tmp_path: Path) -> None:
    assert running_services(tmp_path / "nowhere") is None

    with services(tmp_path, is_durable=False) as running:
        assert running_services(tmp_path) == running

    assert running_services(tmp_path) is None
