"""Notices and replies for tests, in the shape of the service."""

import json
from pathlib import Path
from typing import Any

from jobs.sam_gov import core

# Real replies, written by others: beside the project, not in it.
REAL = Path(__file__).parents[3].parent / "shared" / "samples" / "samgov" / "opportunities"
NO_REAL = "../shared/samples/samgov/opportunities is not there: no real replies to read"

MISSING: Any = object()


def real_replies() -> list[Path]:
    return sorted(REAL.glob("*.json"))


def notice(**changes: Any) -> dict[str, Any]:
    """A notice that says nothing but what it must, with changes."""
    return {
        "noticeId": "0123456789abcdef0123456789abcdef",
        "title": "Widget repair",
        "type": "Solicitation",
        "postedDate": "2026-11-02",
        "active": "Yes",
        **changes,
    }


def mapped(**changes: Any) -> core.Opportunity:
    """The mapped notice; a field changed to MISSING is not there at all."""
    fields = notice(**changes)
    return core.opportunity({name: fields[name] for name in fields if fields[name] is not MISSING})


def reply(*notices: Any) -> bytes:
    return json.dumps(
        {
            "totalRecords": len(notices),
            "limit": 100,
            "offset": 0,
            "opportunitiesData": notices,
            "links": [],
        }
    ).encode()
