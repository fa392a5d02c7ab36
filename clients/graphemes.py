"""Texts, cut where no character that readers see is changed.

As Unicode's UAX 29 draws the line, without its tables: marks, joiners, flags, and Hangul that is
written in parts stay with what they belong to.
"""

import unicodedata
from typing import Final

_ELLIPSIS: Final = "…"
_ZWJ: Final = "\u200d"
_FLAGS: Final = range(0x1F1E6, 0x1F200)  # letters of which two make a flag
# Skin tones, tags (the flag of Scotland), and the vowels and endings of Hangul.
_FOLLOWING: Final = (
    range(0x1F3FB, 0x1F400),
    range(0xE0020, 0xE0080),
    range(0x1160, 0x1200),
    range(0xD7B0, 0xD800),
)


def boundary(text: str, end: int) -> int:
    """The last place up to `end` at which the text may be cut; `end` where there is none before."""
    place = end
    while 0 < place < len(text) and _is_inside(text, place):
        place -= 1
    return place or end


def shortened(text: str, most: int) -> str:
    """At most so many code points, of which the last is then an ellipsis."""
    if len(text) <= most:
        return text
    return text[: boundary(text, most - 1)].rstrip() + _ELLIPSIS


def _is_inside(text: str, place: int) -> bool:
    """Would a cut here separate what belongs together?"""
    before, after = text[place - 1], text[place]
    if before == _ZWJ or after in (_ZWJ, "\u200c"):
        return True
    if unicodedata.category(after)[0] == "M" or any(ord(after) in one for one in _FOLLOWING):
        return True
    if ord(before) in _FLAGS and ord(after) in _FLAGS:
        return _letters_of_flags(text, place) % 2 == 1
    return False


def _letters_of_flags(text: str, place: int) -> int:
    """How many of them stand right before this place."""
    start = place
    while start and ord(text[start - 1]) in _FLAGS:
        start -= 1
    return place - start
