"""The short form of `python -m tests.chaos.schedules`: the same faults, in half a minute."""

import subprocess
import sys

import pytest

from tests.chaos.fleet import ROOT

# It takes half a minute more at times: so long what a killed worker had read waits for another.
SHORT = ("--seconds", "20", "--rest", "120", "--seed", "11")


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_every_tick_fires_once_and_has_one_run_whoever_is_killed() -> None:
    """In a process of its own, whose main thread starts and stops the servers."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.schedules", *SHORT],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=220,
    )

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-5_000:]
    assert "violations    0" in done.stdout
