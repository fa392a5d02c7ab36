"""What a scheduled run returned, as its tick keeps it."""

from typing import Any

from pydantic_core import to_jsonable_python

from worker.codec import dump_value
from worker.records import TICK
from worker.telemetry.redaction import redact

LIMIT = 4096  # characters of JSON


def kept_result(run_id: str, result: Any) -> str | None:
    """As redacted JSON; None for other runs, for nothing, what is large, and what is no JSON."""
    if result is None or not run_id.startswith(TICK):
        return None
    try:
        text = dump_value(redact(to_jsonable_python(result))).decode()
    except (TypeError, ValueError):  # pydantic's error is a ValueError
        return None
    return text if len(text) <= LIMIT else None
