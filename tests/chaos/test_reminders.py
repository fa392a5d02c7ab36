"""The short form of `python -m tests.chaos.reminders`: one change of the clock, some hundred."""

import subprocess
import sys

import pytest

from tests.chaos.fleet import ROOT

SHORT = ("--appointments", "300", "--hours", "8", "--segments", "1", "--seed", "3")


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_each_reminder_that_is_due_is_sent_once_whoever_is_killed() -> None:
    """In a process of its own, whose main thread starts and stops the servers."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.reminders", *SHORT],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=220,
    )

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-5_000:]
    assert "violations    0" in done.stdout
