"""How many segments an SMS takes, and how to take fewer (3GPP TS 23.038 and 23.040).

A text whose characters are all in the GSM alphabet is sent in 7-bit septets, any other one in
16-bit units. One segment holds 160 septets or 70 units; where there are several, each gives up
seven octets to say which one it is, and holds 153 or 67.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from clients.graphemes import boundary

Encoding = Literal["GSM-7", "UCS-2"]

# 23.038 6.2.1. It has Ç, whose small letter is not in it.
_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# 23.038 6.2.1.1: each after an escape, so it takes two septets.
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")
_ALPHABET: Final = _BASIC | _EXTENDED
_SIZES: Final[dict[Encoding, tuple[int, int]]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}
_BEYOND_16_BITS = 0xFFFF
_DOTS = "..."
# What decomposing does not yield: letters that are no others with a mark, and typography.
_REPLACEMENTS: Final = str.maketrans(
    {
        **dict.fromkeys("\t\u00a0\u2002\u2003\u2007\u2009\u200a\u202f", " "),
        **dict.fromkeys("\u200b\u200c\u2060\ufeff\u00ad", ""),
        **dict.fromkeys("‘’‚‛ʼ′`´", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("•·", "*"),
        "ı": "i",
        "…": _DOTS,
        "₺": "TL",
        "⁄": "/",
        "ð": "d",
        "đ": "d",
        "Đ": "D",
        "ł": "l",
        "Ł": "L",
        "œ": "oe",
        "Œ": "OE",
    }
)


@dataclass(frozen=True, slots=True)
class Length:
    """How long an SMS is; `units` are septets (GSM-7) or 16-bit units (UCS-2)."""

    encoding: Encoding
    units: int
    segments: int


def length(text: str) -> Length:
    """What a text costs. No character is split between two segments."""
    encoding = encoding_of(text)
    sizes = _sizes(text, encoding)
    units = sum(sizes)
    alone, each = _SIZES[encoding]
    return Length(encoding, units, min(units, 1) if units <= alone else _packed(sizes, each))


def encoding_of(text: str) -> Encoding:
    """GSM-7 when every character is in the GSM alphabet."""
    return "GSM-7" if _ALPHABET.issuperset(text) else "UCS-2"


def transliterated(text: str) -> str:
    """The text in the GSM alphabet: Dr. Işık'ın becomes Dr. Isik'in.

    Unchanged when a character has no likeness there: one is enough to need UCS-2 for all.
    """
    composed = unicodedata.normalize("NFC", text)
    likeness = "".join(map(_likeness, composed))
    return likeness if _ALPHABET.issuperset(likeness) else composed


def trimmed(text: str, *, segments: int) -> str:
    """At most so many segments (1 or more): whole words and three dots, where words are short."""
    if length(text).segments <= segments:
        return text
    # A longer beginning never takes fewer segments, so the longest that fits can be bisected.
    lengths = range(len(text))
    fitting = bisect_right(lengths, segments, key=lambda end: length(text[:end] + _DOTS).segments)
    return _whole_words(text, fitting - 1) + _DOTS


def _whole_words(text: str, end: int) -> str:
    word = text[:end]
    if not text[end].isspace():
        word = word.rpartition(" ")[0] if " " in word[end // 2 :] else word
    if len(word) == end:
        word = text[: boundary(text, end)]
    return word.rstrip()


def _sizes(text: str, encoding: Encoding) -> list[int]:
    if encoding == "GSM-7":
        return [2 if character in _EXTENDED else 1 for character in text]
    return [2 if ord(character) > _BEYOND_16_BITS else 1 for character in text]


def _packed(sizes: Iterable[int], each: int) -> int:
    segments, free = 0, 0
    for size in sizes:
        if size > free:
            segments, free = segments + 1, each
        free -= size
    return segments


def _likeness(character: str) -> str:
    if character in _ALPHABET:
        return character
    replaced = character.translate(_REPLACEMENTS)
    decomposed = unicodedata.normalize("NFKD", replaced).translate(_REPLACEMENTS)
    return "".join(one for one in decomposed if not unicodedata.combining(one))
