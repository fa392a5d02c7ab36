"""The short form of `python -m tests.chaos.outbox`: the same with fewer transactions."""

import subprocess
import sys

import pytest

from tests.chaos.fleet import ROOT

SHORT = ("--runs", "1500", "--seconds", "12", "--rest", "15", "--seed", "7")


@pytest.mark.integration
@pytest.mark.timeout(150)
def test_what_is_committed_runs_and_nothing_else_does() -> None:
    """In a process of its own, whose main thread starts and stops the servers."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.outbox", *SHORT],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=140,
    )

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-5_000:]
    assert "violations    0" in done.stdout
