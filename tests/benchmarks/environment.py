"""The peers' own environments: `.venv-bench`, and what npm puts under `var/bench`."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.peer import NODE_HOME, VENV, Home, Peer

_HERE = Path(__file__).parent
_INSTALL_WITHIN = 300  # seconds


def absent(peers: Sequence[Peer]) -> dict[str, str]:
    """Install what these peers need; who cannot be had, and why, by name."""
    reasons: dict[Home, str] = {}
    for home in {peer.home for peer in peers}:
        reason = {Home.VENV: _python, Home.NODE: _node}.get(home, lambda: None)()
        if reason:
            reasons[home] = reason
    return {peer.name: reasons[peer.home] for peer in peers if peer.home in reasons}


def _python() -> str | None:
    wanted = _HERE / "peers.txt"
    python = str(VENV / "bin" / "python")
    commands = [
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(wanted)],
    ]
    return _installed(VENV / ".installed", wanted, commands, cwd=_HERE)


def _node() -> str | None:
    if not (npm := shutil.which("npm")) or not shutil.which("node"):
        return "npm and node are not there"
    NODE_HOME.mkdir(parents=True, exist_ok=True)
    wanted = _HERE / "peers" / "package.json"
    for file in (wanted, _HERE / "peers" / "bullmq.mjs"):  # node looks for packages beside it
        shutil.copy(file, NODE_HOME)
    commands = [[npm, "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]]
    return _installed(NODE_HOME / ".installed", wanted, commands, cwd=NODE_HOME)


def _installed(stamp: Path, wanted: Path, commands: list[list[str]], cwd: Path) -> str | None:
    """Run the commands unless they ran for the same file before; None when all went well."""
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return None
    sys.stdout.write(f"Installing what {wanted.name} names into {stamp.parent.name}\n")
    sys.stdout.flush()
    for command in commands:
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                check=False,
                capture_output=True,
                text=True,
                timeout=_INSTALL_WITHIN,
            )
        except subprocess.TimeoutExpired:
            return f"installing took over {_INSTALL_WITHIN} s"
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it does not say why"]
            return f"installing failed: {lines[-1]}"
    stamp.write_text(digest)
    return None
