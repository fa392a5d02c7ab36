"""What readers see of a mail's HTML, and where its links lead.

By what stands at each element, as it does once styles are inlined: rules that hold for some screens
alone are not looked at.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree, html

# Elements whose content is not shown, or not before somebody asks for it.
_UNSEEN: Final = frozenset(
    {
        "details", "dialog", "head", "iframe", "math", "noscript", "object", "option", "script",
        "select", "style", "svg", "template", "textarea", "title",
    }
)  # fmt: skip
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_NUMBER: Final = re.compile(r"(-?[\d.]+)\s*([a-z%]*)")
_FAR: Final = -500.0  # pixels: beside the screen
_SMALLEST: Final = 4.0  # pixels or points that can still be read
_NO_NUMBER: Final = (math.inf, "")
_SHORT_COLOUR: Final = re.compile(r"#([0-9a-f])([0-9a-f])([0-9a-f])")
_COLOURS: Final = {"white": "#ffffff", "black": "#000000"}
# Spaces, and characters that take no room.
_BLANK: Final = re.compile(
    r"[\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]+"
)
_LEADING: Final = frozenset(
    {"action", "background", "data", "formaction", "href", "poster", "src", "srcset", "xlink:href"}
)


@dataclass(frozen=True, slots=True)
class Seen:
    """`links` are those with something to click on; `targets` is whatever anything leads to or
    fetches, seen or not, each with its attribute.
    """

    text: str
    links: frozenset[str]
    targets: frozenset[tuple[str, str]]


def seen(page: str) -> Seen:
    """Read a page of HTML."""
    root = html.document_fromstring(page.encode(), parser=html.HTMLParser(encoding="utf-8"))
    words: list[str] = []
    links: set[str] = set()
    waiting: list[tuple[str, int]] = []
    looks: list[tuple[str, str]] = [("#000000", "#ffffff")]
    walk = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    for event, element in walk:
        if event == "start":
            looks.append(_look(element, looks[-1]))
            if not _is_shown(element):
                walk.skip_subtree()
                continue
            words.append(element.get("alt") or "" if element.tag == "img" else "")
            if element.tag == "a" and element.get("href"):
                waiting.append((element.get("href"), len(words)))
            words.append(_told(element.text, looks[-1]))
            continue
        if event == "end":
            looks.pop()
            if element.tag == "a" and waiting and waiting[-1][0] == element.get("href"):
                href, start = waiting.pop()
                if _BLANK.sub("", "".join(words[start:])):
                    links.add(href)
        words.append(_told(element.tail, looks[-1]))
    return Seen(" ".join(" ".join(words).split()), frozenset(links), frozenset(_targets(root)))


def shows(text: str, words: str) -> bool:
    """Do these words stand in the text, whatever the line breaks and signs between them?"""
    return _letters(words) in _letters(text)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _told(text: str | None, look: tuple[str, str]) -> str:
    """Nothing where it has the colour of its ground."""
    return "" if look[0] == look[1] else text or ""


def _is_shown(element: Any) -> bool:
    if element.tag in _UNSEEN or element.get("hidden") is not None:
        return False
    style = _style(element)
    sizes = {name: _number(value) for name, value in style.items()}
    is_clipped = style.get("overflow", "").startswith(("hidden", "clip")) and any(
        sizes.get(name, _NO_NUMBER)[0] <= 1 and sizes[name][1] in {"", "px", "pt", "%"}
        for name in ("height", "max-height", "width", "max-width")
    )
    return not (
        style.get("display", "").startswith("none")
        or style.get("visibility", "").startswith(("hidden", "collapse"))
        or style.get("color", "").startswith("transparent")
        or _is_small(sizes.get("font-size"))
        or sizes.get("opacity", _NO_NUMBER)[0] == 0
        or any(
            sizes.get(name, _NO_NUMBER)[0] <= _FAR
            for name in ("left", "top", "right", "bottom", "text-indent", "margin-left")
        )
        or style.get("clip", "").startswith(("rect(0", "rect(1px"))
        or style.get("transform", "").replace(" ", "") in {"scale(0)", "scale(0,0)"}
        or is_clipped
    )


def _is_small(size: tuple[float, str] | None) -> bool:
    if size is None:
        return False
    number, unit = size
    return number <= 0 or (unit in {"px", "pt"} and number < _SMALLEST)


def _style(element: Any) -> dict[str, str]:
    """By property; the last one counts."""
    text = _COMMENT.sub("", element.get("style") or "").lower()
    pairs = (rule.partition(":") for rule in text.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _number(value: str) -> tuple[float, str]:
    """With its unit."""
    match = _NUMBER.match(value)
    try:
        return (float(match[1]), match[2]) if match else _NO_NUMBER
    except ValueError:
        return _NO_NUMBER


def _look(element: Any, above: tuple[str, str]) -> tuple[str, str]:
    """The colours of text and ground; what says neither has those of what it stands in."""
    style = _style(element)
    ground = (
        style.get("background-color")
        or style.get("background")
        or (element.get("bgcolor") or "").lower()
    )
    colour = style.get("color") or (element.get("color") or "").lower()
    return _colour(colour, above[0]), _colour(ground, above[1])


def _colour(said: str | None, above: str) -> str:
    if not said or said.startswith(("inherit", "transparent")):
        return above
    word = said.split()[0]
    short = _SHORT_COLOUR.fullmatch(word)
    return _COLOURS.get(word, "#" + "".join(one * 2 for one in short.groups()) if short else word)


def _targets(root: Any) -> Iterator[tuple[str, str]]:
    for element in root.iter(etree.Element):
        for name, value in element.attrib.items():
            if name in _LEADING:
                yield name, value
