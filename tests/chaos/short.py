"""Runs the short form of a chaos driver in a test."""

import subprocess
import sys

from tests.chaos.fleet import ROOT


def check_passes(module: str, *arguments: str, within: float) -> None:
    """Run it in a process of its own, whose main thread starts and stops the servers.

    `within` is in seconds. Raises AssertionError with what it printed, and TimeoutExpired.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=within,
    )

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-5_000:]
    assert "violations    0" in done.stdout
