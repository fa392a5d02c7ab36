"""Keys made of a payload's fields, as in "{invoice_id}:{step}"."""

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

_LONGEST = 200  # characters: keys lie in Redis, many times


class TemplateError(ValueError):
    """The text is no template of fields; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with plain fields in braces. Raises TemplateError when it is none."""

    text: str
    fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        try:
            parts = list(string.Formatter().parse(self.text))
        except ValueError as error:
            raise TemplateError(f"{self.text!r}: {error}") from None
        # Plain fields only: what is looked up inside a value may be missing in the next payload.
        if any(spec or conversion for _, _, spec, conversion in parts) or any(
            name == "" for _, name, _, _ in parts
        ):
            raise TemplateError(f"{self.text!r}: write each field as {{field}}")
        names = tuple(name for _, name, _, _ in parts if name is not None)
        object.__setattr__(self, "fields", names)

    def of(self, values: Mapping[str, Any]) -> str:
        """The key for these values, which are what JSON can say.

        They are quoted, so that ("1:2", "3") and ("1", "2:3") stay two.
        """
        return self.text.format_map(
            {name: quote(str(values[name]), safe=" /@") for name in self.fields}
        )


def short(key: str) -> str:
    """The key, or (when it is long) its beginning and what tells it from all others."""
    if len(key) <= _LONGEST:
        return key
    return f"{key[:100]}…{hashlib.sha256(key.encode()).hexdigest()}"
