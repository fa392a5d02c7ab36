"""An SMS that takes no more segments than it may, and keeps its links."""

import re
from bisect import bisect_right
from typing import Final

from clients.sms_text import length, transliterated, trimmed

# Whatever a telephone makes a link of.
LINK: Final = re.compile(
    r"(?:https?://|www\.)\S+|\b(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,63}/\S*", re.IGNORECASE
)
_DOTS: Final = "..."
_SHORT: Final = 60  # characters


class TooLongError(ValueError):
    """Its links leave no room for a single word."""


def fitted(text: str, *, segments: int, transliterates: bool) -> str:
    """At most so many segments: with plainer letters where that is wanted, else with fewer words.

    Links stay whole, for half of one leads nowhere. Where they leave no room for words, plainer
    letters are better than none. Raises TooLongError where even that does not help: a link without
    a word is nothing that anybody follows.
    """
    said = _plainer(text) if transliterates else text
    if length(said).segments <= segments:
        return said
    if LINK.search(said) is None:
        return trimmed(said, segments=segments)
    for spelling in dict.fromkeys((said, _plainer(text))):
        made = _with_fewer_words(spelling, segments)
        if made is not None:
            return made
    raise TooLongError("its links leave no room for words")


def _plainer(text: str) -> str:
    """In the GSM alphabet, unless that would change where a link leads."""
    plain = transliterated(text)
    return plain if LINK.findall(plain) == LINK.findall(text) else text


def _with_fewer_words(text: str, segments: int) -> str | None:
    """The longest stretch between links gets shorter first, to a word at least. Short ones stay:
    they say who writes, or how to opt out. None when that is not enough.
    """
    if length(text).segments <= segments:
        return text
    ends = [place for link in LINK.finditer(text) for place in link.span()]
    pieces = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    stretches = [at for at in range(0, len(pieces), 2) if len(pieces[at]) > _SHORT]
    for at in sorted(stretches, key=lambda one: len(pieces[one]), reverse=True):
        before, words, after = "".join(pieces[:at]), pieces[at], "".join(pieces[at + 1 :])
        pieces[at] = _beginning(words, _fitting(before, words, after, segments))
        made = "".join(pieces).strip()
        if length(made).segments <= segments:
            return made
    return None


def _fitting(before: str, words: str, after: str, segments: int) -> int:
    """How many of the words there is room for between the others, and 1 at least."""

    def needed(count: int) -> int:
        return length(f"{before}{_beginning(words, count)}{after}".strip()).segments

    # More words never take fewer segments, so the most that fit can be bisected.
    return max(bisect_right(range(words.strip().count(" ") + 1), segments, key=needed) - 1, 1)


def _beginning(text: str, count: int) -> str:
    """So many of its words, and dots for those that are left out."""
    words = " ".join(text.strip().split(" ")[:count])
    return f"{' ' if text[0].isspace() else ''}{words}{_DOTS} "
