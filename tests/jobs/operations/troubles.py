"""Notices, as jobs are told of them."""

from datetime import UTC, datetime
from typing import Any

from jobs.operations.core import Trouble, sample

AT = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)


def trouble(**changes: Any) -> Trouble:
    return sample(AT).model_copy(update=changes)


def waiting(**changes: Any) -> Trouble:
    queue = {"kind": "waiting", "queue": "email", "job": None, "error_type": None, "dead": 0}
    counts = {"count": 1240, "most": 1500, "threshold": 100, "run_ids": ()}
    return trouble(**{**queue, **counts, **changes})
