"""Reports of many rows, each in a process of its own whose memory is measured."""

import subprocess
import sys
from pathlib import Path

import pytest

_MEASURE = """
import io, resource, sys
from itertools import repeat
from pathlib import Path
from jobs.documents.core import spool
from jobs.documents.generate_report import render_file
from tests.jobs.documents.core.reports import make_report, make_row

folder, file_format, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
page = spool.dump(repeat(make_row(), 1000))
with (folder / "rows").open("wb") as file:
    for _ in range(rows // 1000):
        file.write(page)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
number = render_file(folder / "rows", folder / "report", make_report(), file_format)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(number, (after - before) // 1024)
"""


@pytest.mark.parametrize(("file_format", "rows"), [("csv", 200_000), ("xlsx", 40_000)])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, file_format: str, rows: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path), file_format, str(rows)],
        capture_output=True,
        check=True,
        text=True,
    )

    number, megabytes = map(int, done.stdout.split())
    assert number == rows
    assert megabytes < 15
