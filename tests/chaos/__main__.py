"""`python -m tests.chaos`: exits with 1 when anything did not hold."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.driver import Options, run
from tests.saying import say


def main() -> int:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="deskhand-chaos-"))
    directory.chmod(0o711)  # PostgreSQL of a root without namespaces runs as nobody
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # everything is stopped on the way out
    began = time.monotonic()
    say(f"{options}, in {directory}")
    report = run(options, directory, say)
    say(f"{report}\n{time.monotonic() - began:.0f} s in all")
    if report.violations:
        say(f"logs, marks and data are in {directory}")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=50_000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the plan")
    parser.add_argument("--lease", type=float, default=5, help="RUN_LEASE amid faults, in seconds")
    parser.add_argument(
        "--takeover-lease", type=float, default=30, help="where takeover is measured"
    )
    parser.add_argument(
        "--rest", type=float, default=180, help="seconds to end in, after the faults"
    )
    given = parser.parse_args()
    return Options(
        runs=given.runs,
        seconds=given.minutes * 60,
        workers=given.workers,
        seed=given.seed,
        lease=given.lease,
        takeover_lease=given.takeover_lease,
        rest=given.rest,
    )


if __name__ == "__main__":
    raise SystemExit(main())
