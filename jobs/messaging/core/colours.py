"""Colours that can be read: WCAG 2.2 asks for a contrast of 4.5 between text and ground."""

import re
from dataclasses import dataclass

ACCENT = "#1f3a5f"
_LEAST = 4.5
_WHITE, _INK = "#ffffff", "#111827"
_DAY, _NIGHT = "#f3f4f6", "#161b22"  # the grounds of the layout on which there are links
_HEX = re.compile(r"#[0-9a-f]{6}")
_STEPS = 20


@dataclass(frozen=True, slots=True)
class Palette:
    """A tenant's colour where it is used; `link_at_night` is for dark screens."""

    accent: str
    on_accent: str
    link: str
    link_at_night: str


def palette(accent: str | None) -> Palette:
    """From `#rrggbb`; None, or what is none, gives the product's.

    >>> palette("#ffcc00").on_accent
    '#111827'
    """
    colour = accent if accent and _HEX.fullmatch(accent) else ACCENT
    return Palette(
        accent=colour,
        on_accent=max(_WHITE, _INK, key=lambda text: contrast(text, colour)),
        link=_readable(colour, on=_DAY, towards="#000000"),
        link_at_night=_readable(colour, on=_NIGHT, towards=_WHITE),
    )


def contrast(one: str, other: str) -> float:
    """1 (the same) to 21 (black on white), as WCAG 2.2 defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _readable(colour: str, *, on: str, towards: str) -> str:
    """The colour itself, or the nearest to it on the way to black or white that can be read."""
    mixed = (_mix(colour, towards, step / _STEPS) for step in range(_STEPS + 1))
    return next((one for one in mixed if contrast(one, on) >= _LEAST), towards)


def _mix(one: str, other: str, share: float) -> str:
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(value / 255) for value in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB, IEC 61966-2-1


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
