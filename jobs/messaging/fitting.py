"""An SMS that takes no more segments than it may, and keeps its links."""

import re
from bisect import bisect_right
from typing import Final

from clients.sms_text import length, transliterated, trimmed

# Whatever a telephone makes a link of.
LINK: Final = re.compile(r"(?:https?://|www\.)\S+|\b(?:[\w-]+\.)+[A-Za-z]{2,}/\S*", re.IGNORECASE)
_DOTS: Final = "..."


class TooLongError(ValueError):
    """Its links leave no room for a single word."""


def fitted(text: str, *, segments: int, transliterates: bool) -> str:
    """At most so many segments: with plainer letters where that is wanted, else with fewer words.

    Links stay whole, for half of one leads nowhere. Where they leave no room for words, plainer
    letters are better than none. Raises TooLongError where even that does not help: a link without
    a word is nothing that anybody follows.
    """
    plain = _plainer(text)
    said = plain if transliterates else text
    if length(said).segments <= segments:
        return said
    if LINK.search(said) is None:
        return trimmed(said, segments=segments)
    for spelling in dict.fromkeys((said, plain)):
        made = _with_fewer_words(spelling, segments)
        if made is not None:
            return made
    raise TooLongError("its links leave no room for words")


def _plainer(text: str) -> str:
    """In the GSM alphabet, unless that would change where a link leads."""
    plain = transliterated(text)
    return plain if LINK.findall(plain) == LINK.findall(text) else text


def _with_fewer_words(text: str, segments: int) -> str | None:
    """The longest stretch between links gets shorter first; None when no words are left."""
    if length(text).segments <= segments:
        return text
    ends = [place for link in LINK.finditer(text) for place in link.span()]
    pieces = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    stretches = range(0, len(pieces), 2)
    for at in sorted(stretches, key=lambda one: len(pieces[one]), reverse=True):
        before, words, after = "".join(pieces[:at]), pieces[at], "".join(pieces[at + 1 :])
        fitting = _fitting(before, words, after, segments)
        pieces[at] = _beginning(words, fitting or 0)
        if fitting is not None:
            break
    made = "".join(pieces).strip()
    has_words = bool(LINK.sub("", made).strip(" .\n"))
    return made if has_words and length(made).segments <= segments else None


def _fitting(before: str, words: str, after: str, segments: int) -> int | None:
    """How many of the words there is room for between the others; None when for not even none."""

    def needed(count: int) -> int:
        return length(f"{before}{_beginning(words, count)}{after}".strip()).segments

    # More words never take fewer segments, so the most that fit can be bisected.
    fitting = bisect_right(range(words.count(" ") + 1), segments, key=needed)
    return fitting - 1 if fitting else None


def _beginning(text: str, count: int) -> str:
    """So many of its words, and dots for those that are left out."""
    words = " ".join(text.split(" ")[:count]).rstrip()
    return f"{words}{_DOTS} " if words else " "
