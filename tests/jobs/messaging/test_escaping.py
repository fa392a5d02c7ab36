"""Whatever stands in a value, it stays text: in every message, in every language."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pytest
from typing_extensions import override

from jobs.kit import discover
from jobs.messaging.catalogue import Message, messages
from jobs.messaging.core.channels import CHANNELS, Channel
from jobs.messaging.core.recipient import Recipient
from jobs.messaging.previewing import nobodys_profile
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import RenderingError, is_built_in, render
from jobs.messaging.writing import common_values

discover()
_FOREIGN = "<i>\"'&"
_MAILS = [
    (one, language)
    for one in messages()
    for language in ("en", "tr")
    if is_built_in(one.name, language, "email")
]


@pytest.mark.parametrize(
    ("message", "language"), _MAILS, ids=[f"{one.name}.{language}" for one, language in _MAILS]
)
def test_no_value_breaks_out_of_its_place(message: Message, language: str) -> None:
    sample = message.sample(language)
    rendered = 0
    for values in _with_foreign_signs(sample):
        try:
            html = render(message.name, *_filling(values, language)).html
        except RenderingError:  # a word that chooses what is said, and has to be a known one
            continue
        rendered += 1
        assert "i" not in _elements(html)

    assert rendered or not any(isinstance(one, str) for one in sample.values())


_LEFT_OPEN = re.compile(r"\b(?:Hello|Merhaba|Welcome|geldiniz)\s+[,.]|: ,|\S[,(] *[,.)]")


@pytest.mark.parametrize("language", ["en", "tr"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_nobody_without_a_name_is_greeted_by_a_gap(language: str, channel: Channel) -> None:
    greeted = 0
    for message in messages():
        if not is_built_in(message.name, language, channel):
            continue
        reader, values = _filling(message.sample(language), language, name="")
        reader = replace(reader, channel=channel)
        text = render(message.name, reader, values).text
        greeted += "Ayşe" in render(message.name, reader, {**values, "name": "Ayşe"}).text
        assert not _LEFT_OPEN.search(text), text

    assert greeted >= 3


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)


def _elements(html: str) -> set[str]:
    parser = _Elements()
    parser.feed(html)
    parser.close()
    return parser.names


def _filling(
    values: dict[str, Any], language: str, *, name: str = f"Ayşe {_FOREIGN}"
) -> tuple[Reader, dict[str, Any]]:
    profile = replace(
        nobodys_profile(language), tenant_name=f"A{_FOREIGN}", postal_address=f"B{_FOREIGN}"
    )
    to = Recipient(
        tenant_id=profile.tenant_id,
        name=name,
        email="ayse@example.com",
        locale=language,
        timezone=profile.timezone,
    )
    known = common_values(to, profile, values, f"https://example.com/{_FOREIGN}")
    return Reader(language, profile.timezone, "email"), known


def _with_foreign_signs(sample: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The sample once for each of its texts, with that one changed; and once unchanged."""
    yield sample
    for name, value in sample.items():
        for changed in _changes(value):
            yield {**sample, name: changed}


def _changes(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        yield value + _FOREIGN
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: changed} for changed in _changes(inner))
    elif isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        for place, inner in enumerate(value):
            for changed in _changes(inner):
                yield type(value)([*value[:place], changed, *value[place + 1 :]])
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for changed in _changes(getattr(value, field.name)):
                yield replace(value, **{field.name: changed})
