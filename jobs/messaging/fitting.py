"""An SMS that takes no more segments than it may, and keeps its link."""

import re
from bisect import bisect_right

from clients.sms_text import length, transliterated, trimmed

_LINK = re.compile(r"https?://\S+\s*\Z")


def fitted(text: str, *, segments: int, transliterates: bool) -> str:
    """At most so many segments: with plainer letters where that is wanted, else with fewer words.

    A link at the end stays whole, for half of one leads nowhere; one that is longer than all
    segments is left alone.
    """
    said = transliterated(text) if transliterates else text
    if length(said).segments <= segments:
        return said
    link = _LINK.search(said)
    if link is None:
        return trimmed(said, segments=segments)
    words, end = said[: link.start()].split(" "), f"... {link[0].rstrip()}"
    # More words never take fewer segments, so the most that fit can be bisected.
    fitting = bisect_right(
        range(len(words)),
        segments,
        key=lambda count: length(" ".join(words[:count]) + end).segments,
    )
    return " ".join(words[: max(fitting - 1, 0)]) + end if fitting > 1 else link[0].rstrip()
