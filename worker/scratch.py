"""Directories for temporary files, each with an owner that removes it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_root(parent: Path) -> Iterator[Path]:
    """A directory of this process; also sweeps those that killed processes left behind."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in parent.iterdir():
        if (
            left.name.isdigit()
            and not Path("/proc", left.name).exists()
            and Path("/proc/1").exists()
        ):
            shutil.rmtree(left, ignore_errors=True)
    root = parent / str(os.getpid())
    root.mkdir(mode=0o700, exist_ok=True)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A directory in it that is gone when the `with` ends."""
    with tempfile.TemporaryDirectory(dir=root, ignore_cleanup_errors=True) as path:
        yield Path(path)
