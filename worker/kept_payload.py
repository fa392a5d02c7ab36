"""A payload as history keeps it: JSON text to search in, bounded, without what is sensitive.

In a record it is a text inside JSON: whatever it says is escaped there, and cannot be taken for
one of the record's own fields.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import orjson

from worker.telemetry.redaction import MASK, redact

LIMIT = 4096  # bytes
CUT = "…"  # the field that says how many were left out
_SMALL = 200  # characters of a text that is kept of a payload beyond the limit


def kept_payload(arguments: Mapping[str, Any], sensitive: AbstractSet[str]) -> str | None:
    """The payload, with a mask for each of the `sensitive` fields.

    Beyond the limit only its short fields (ids, dates, numbers) are kept, and CUT says so. None
    when it is not JSON any more: the job has it in hand, and may have changed it.
    """
    if sensitive and not sensitive.isdisjoint(arguments):
        arguments = {
            name: MASK if name in sensitive and value is not None else value
            for name, value in arguments.items()
        }
    try:
        kept = orjson.dumps(arguments)
    except TypeError:
        return None
    return (kept if len(kept) <= LIMIT else _short_fields(arguments)).decode()


def without_personal(payload: str) -> str:
    """A kept payload as people see it: what looks personal is masked, so that nobody finds by
    searching what they may not look at. CUT says that something was.

    Takes some 20 µs: for those alone that history writes.
    """
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload
    shown = redact(found)
    if shown == found or not isinstance(shown, dict):
        return payload
    return orjson.dumps({**shown, CUT: "[some masked]"}).decode()


def is_whole(payload: Mapping[str, Any]) -> bool:
    """Is it what the run had, so that it can run again?"""
    return CUT not in payload and MASK not in payload.values()


def _short_fields(arguments: Mapping[str, Any]) -> bytes:
    short = {name: value for name, value in arguments.items() if _is_short(name, value)}
    while True:
        cut = len(arguments) - len(short)
        kept = orjson.dumps({**short, CUT: f"[{cut} more]"})
        if len(kept) <= LIMIT:
            return kept
        short = dict(list(short.items())[: len(short) // 2])  # foreign: of very many fields


def _is_short(name: str, value: Any) -> bool:
    if isinstance(value, str):
        return len(name) + len(value) <= _SMALL
    return isinstance(value, bool | int | float | None) and len(name) <= _SMALL
