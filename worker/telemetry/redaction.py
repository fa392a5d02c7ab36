"""The one redactor: logs, errors, traces, Sentry and the console show only what it lets through.

`redact` looks at names first (what stands under `password` goes, whatever it looks like), then
into every text (`worker.telemetry.patterns`). It returns only what JSON can carry, never raises,
and doing it twice changes nothing.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import islice
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, SecretBytes, SecretStr

from worker.telemetry.patterns import redact_text

__all__ = ["MASK", "is_sensitive", "redact", "redact_text"]

MASK: Final = "[redacted]"
MAX_DEPTH: Final = 6
MAX_ITEMS: Final = 200  # of one mapping or list
MAX_VALUES: Final = 2000  # of one call
_MAX_INTEGER_BITS: Final = 256
_CONTAINERS_AND_NUMBERS: Final = (Mapping, list, tuple, AbstractSet, int, float)

# Names are compared without case, punctuation and trailing digits. These also hide what ends in
# them (`smtp_password`, `customerPhone2`) …
_ENDINGS: Final = (
    "adres",  # codespell:ignore
    *"""
    password passwd passphrase secret token apikey accesskey privatekey secretkey encryptionkey
    authorization cookie credentials csrf sessionid
    email emailaddress eposta phone phonenumber telephone mobile gsm telefon whatsapp
    address addressline street
    iban accountnumber cardnumber creditcard taxid taxnumber taxno vergino vkn vatnumber
    tckn tcno tckimlikno nationalid identitynumber passport passportnumber socialsecurity
    birthdate dateofbirth birthday dogumtarihi
    firstname lastname fullname middlename givenname familyname surname maidenname username
    customername contactname ownername patientname recipientname adsoyad soyad
    parola sifre
    """.split(),  # noqa: SIM905 - a list of words, read by people
)
# … while these are too short for that (`zip`, `timespan`): only as the whole name or last word.
_WORDS: Final = frozenset(
    """
    pwd pass auth session dsn card pan cvv cvc pin otp ssn tin dob ip mail toname fromname geo
    """.split()  # noqa: SIM905 - a list of words, read by people
)
# End like a secret, but are none: cursors, counts and our own fences.
_ALLOWED: Final = frozenset(
    """
    pagetoken nextpagetoken continuationtoken synctoken deltatoken leasetoken fencetoken
    maxtoken prompttoken completiontoken totaltoken inputtoken outputtoken macaddress
    """.split()  # noqa: SIM905 - a list of words, read by people
)


@lru_cache(maxsize=4096)  # the same few names on every line
def is_sensitive(name: str) -> bool:
    """Whether values under this name are hidden whatever they look like."""
    name = name[-100:].rstrip("0123456789 _-[]")
    compact = re.sub(r"[\W_]", "", name).lower()
    if compact in _ALLOWED or compact.removesuffix("s") in _ALLOWED:
        return False
    words = re.findall(r"[A-Z]?[^\W_A-Z]+|[A-Z]+(?![^\W_A-Z])", name)
    last = words[-1].lower() if words else ""
    return any(
        candidate.endswith(_ENDINGS) or candidate in _WORDS or word in _WORDS
        for candidate, word in (
            (compact, last),
            (compact.removesuffix("s"), last.removesuffix("s")),
            (compact.removesuffix("es"), last.removesuffix("es")),
        )
    )


def redact(value: object) -> object:
    """A copy of the value, as JSON types, without secrets and personal data. Never raises.

    Deeper than `MAX_DEPTH`, longer than `MAX_ITEMS` or `MAX_VALUES`: cut, and saying so.
    """
    return _Walk().visit(value, depth=0)


class _Walk:
    """One call of `redact`; `left` bounds its work, however the value is nested."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def visit(self, value: object, *, depth: int) -> object:
        self.left -= 1
        if self.left < 0:
            return "[…]"
        try:
            return self._visit(value, depth=depth)
        except Exception:  # noqa: BLE001 - foreign objects may raise anything when looked at
            return f"[unprintable {type(value).__name__}]"

    def _visit(self, value: object, *, depth: int) -> object:
        show = _PLAIN.get(type(value))
        if show is not None:
            return show(value)
        if not _is_nested(value):
            return _leaf(value)
        if depth >= MAX_DEPTH:
            return "[too deep]"
        if isinstance(value, list | tuple | AbstractSet):
            return self._items(value, len(value), depth=depth)
        return self._fields(_as_mapping(value), depth=depth)

    def _items(self, items: Iterable[object], count: int, *, depth: int) -> list[object]:
        shown = count if count <= MAX_ITEMS else MAX_ITEMS - 1
        kept = [self.visit(item, depth=depth + 1) for item in islice(items, shown)]
        return kept if shown == count else [*kept, f"[{count - shown} more]"]

    def _fields(self, fields: Mapping[object, object], *, depth: int) -> dict[str, object]:
        count = len(fields)
        shown = count if count <= MAX_ITEMS else MAX_ITEMS - 1
        kept: dict[str, object] = {}
        for name, value in islice(fields.items(), shown):
            kept[_name(name)] = self._field(name, value, depth=depth + 1)
        if shown < count:
            kept["…"] = f"[{count - shown} more]"
        return kept

    def _field(self, name: object, value: object, *, depth: int) -> object:
        if value is None or isinstance(value, bool) or value in ("", MASK):
            return value
        if not isinstance(name, str) or not is_sensitive(name):
            return self.visit(value, depth=depth)
        # `emails=3` counts them and `email={…}` tells of the queue: no address is a number.
        is_count = isinstance(value, int | float) and name.lower().endswith("s")
        is_no_address = "mail" in name.lower() and isinstance(value, _CONTAINERS_AND_NUMBERS)
        shown = self.visit(value, depth=depth) if is_count or is_no_address else MASK
        return MASK if isinstance(shown, str) else shown


def _is_nested(value: object) -> bool:
    if isinstance(value, Mapping | list | tuple | AbstractSet | BaseModel | BaseException):
        return True
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _as_mapping(value: object) -> Mapping[object, object]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        return {
            name: getattr(value, name)
            for name, field in type(value).model_fields.items()
            if field.repr
        }
    if isinstance(value, BaseException):
        return {"type": type(value).__qualname__, "message": str(value)}
    # `field(repr=False)` says that it is not to be shown.
    shown = [field.name for field in dataclasses.fields(value) if field.repr]  # type: ignore[arg-type]  # `_is_nested` made sure
    return {name: getattr(value, name) for name in shown}


def _name(name: object) -> str:
    shown = _leaf(name)
    return shown if isinstance(shown, str) else redact_text(str(shown))


def _number(value: float) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value.bit_length() > _MAX_INTEGER_BITS:  # printing it takes long, or is refused
        return f"[integer of {value.bit_length()} bits]"
    return int(value)


def _leaf(value: object) -> object:
    for kind, show in _LEAVES:
        if isinstance(value, kind):
            return show(value)
    return redact_text(repr(value))


# In this order: an Enum may be a str, a bool is an int, a datetime is a date.
_LEAVES: Final[tuple[tuple[type | tuple[type, ...], Callable[[Any], object]], ...]] = (
    (Enum, lambda value: _leaf(value.value)),
    (str, redact_text),
    ((bool, type(None)), lambda value: value),
    ((int, float), _number),
    ((Decimal, UUID), str),
    ((datetime, date, time), lambda value: value.isoformat()),
    (timedelta, timedelta.total_seconds),
    ((SecretStr, SecretBytes), lambda _: MASK),
    ((bytes, bytearray, memoryview), lambda value: f"[{len(value)} bytes]"),
    (PurePath, lambda value: redact_text(str(value))),
    (type, lambda value: value.__qualname__),
)
# The same for what most values are, without asking each kind in turn.
_PLAIN: Final[Mapping[type, Callable[[Any], object]]] = {
    str: redact_text,
    int: _number,
    float: _number,
    bool: bool,
    type(None): lambda value: value,
}
