"""A tenant's own words in the place of the product's: one version of them, checked and filled."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from inscriptis import get_text
from inscriptis.model.config import ParserConfig
from markupsafe import Markup

from jobs.messaging.core.channels import Channel
from jobs.messaging.core.links import is_harmless
from jobs.messaging.core.override import Kind, Override
from jobs.messaging.reading import Reader, read_by
from jobs.messaging.rendering import (
    Rendered,
    brief,
    inlined,
    is_built_in,
    mail_text,
    opening_of,
    render_part,
    sms_text,
    subject_line,
)
from jobs.messaging.sandbox import OverrideError, fill, unknown_names
from jobs.messaging.visible import Seen, seen, shows

HIDDEN = frozenset({"palette"})  # the layout's own
_MOST_TOLD = 5
_WHOLE = re.compile(r"<html[\s>]", re.IGNORECASE)
_WITH_LINKS = ParserConfig(display_links=True)


def render_override(
    name: str,
    override: Override,
    reader: Reader,
    values: Mapping[str, Any],
    opening: str | None = None,
) -> Rendered:
    """Fill it, with this opening if there is one. Raises OverrideError. For a process of its own:
    it may take any time. Where there is an unsubscribe_url, one whose readers would not find it is
    none that works.
    """
    made = _rendered(name, override, reader, values, opening)
    if reader.channel == "email":
        page = seen(made.html)
        _require_harmless(page)
        if values.get("unsubscribe_url"):
            _require_way_out(made.text, page, override, str(values["unsubscribe_url"]))
    return made


def _rendered(
    name: str,
    override: Override,
    reader: Reader,
    values: Mapping[str, Any],
    opening: str | None,
) -> Rendered:
    version = f"tenant-{override.version}"
    with read_by(reader):
        parts = override.parts(reader.channel)
        made = {
            kind: fill(kind, source, brief(values) if kind == "subject" else values, opening)
            for kind, source in parts.items()
        }
    filled = {kind: part.text for kind, part in made.items()}
    if reader.channel == "sms":
        return Rendered(version, _not_empty("text", sms_text(filled["sms"])))
    subject = filled.get("subject")
    if subject is None:
        subject = render_part(f"{name}.{reader.locale}.subject.j2", reader, brief(values))
    return Rendered(
        version,
        _text_part(filled, reader, values),
        _not_empty("subject", subject_line(subject)),
        _html_part(filled, subject_line(subject), reader, values),
        opening_of([part for kind, part in made.items() if kind in ("text", "html")]),
    )


def check_override(
    name: str, override: Override, reader: Reader, values: Mapping[str, Any], *, is_open: bool
) -> Rendered:
    """How it looks with a sample's values. Raises OverrideError for one that will not work.

    `is_open`: other names than those of the values may be asked for. For a process of its own, as
    `render_override`.
    """
    _require_parts(name, override, reader.locale, reader.channel)
    known = dict(values)
    for kind, source in override.parts(reader.channel).items():
        strange = unknown_names(kind, source, known.keys())
        if strange and not is_open:
            field = "text" if kind == "sms" else kind
            there = ", ".join(sorted(known.keys() - HIDDEN))
            raise OverrideError(
                field, f"there is no {', '.join(strange[:_MOST_TOLD])}; there are {there}"
            )
        known.update(dict.fromkeys(strange, "…"))  # what only its contacts' data will tell
    made = render_override(name, override, reader, known)
    if reader.channel == "email" and values.get("unsubscribe_url"):
        _require_address(made, override, str(values.get("postal_address") or ""))
    return made


def _require_way_out(text: str, page: Seen, override: Override, link: str) -> None:
    """In both parts, and where it can be seen: not in a comment, not in what is hidden."""
    _require(
        link in page.links,
        _field_of(override, "html"),
        "its readers see no link to unsubscribe: put "
        '<a href="{{ unsubscribe_url }}">…</a> with words in it where nothing hides it',
    )
    _require(
        re.search(rf"(?<![\w/]){re.escape(link)}(?![\w/?#&=%+-])", text),
        _field_of(override, "text"),
        "its text part does not show the link to unsubscribe: put {{ unsubscribe_url }} in it",
    )


def _require_address(made: Rendered, override: Override, address: str) -> None:
    """The sender's, where the tenant has told it."""
    _require(
        shows(seen(made.html).text, address),
        _field_of(override, "html"),
        "its readers do not see the sender's postal address: put {{ postal_address }} in it",
    )
    _require(
        shows(made.text, address),
        _field_of(override, "text"),
        "its text part does not tell the sender's postal address: put {{ postal_address }} in it",
    )


def _require_harmless(page: Seen) -> None:
    _require(
        all(is_harmless(target, attribute) for attribute, target in page.targets),
        "html",
        "a link leads to something else than a page, an address or a number: begin it with "
        "https://, mailto: or tel:",
    )


def _field_of(override: Override, part: Literal["text", "html"]) -> str:
    """Where to mend it: what is missing is made of the other."""
    if part == "html":
        return "html" if override.html is not None else "text"
    return "text" if override.text is not None else "html"


def _require_parts(name: str, override: Override, language: str, channel: Channel) -> None:
    if channel == "sms":
        _require(override.text, "text", "an SMS has one")
        if override.subject is not None or override.html is not None:
            raise OverrideError(
                "html" if override.html is not None else "subject", "an SMS has none"
            )
        return
    _require(override.text or override.html, "text", "a mail has a text, HTML, or both")
    if override.subject is None and not is_built_in(name, language, channel):
        raise OverrideError("subject", "a mail has one")


def _require(given: object, field: str, sentence: str) -> None:
    if not given:
        raise OverrideError(field, sentence)


def _not_empty(field: str, text: str) -> str:
    _require(text.strip(), field, "is empty with these values")
    return text


def _text_part(filled: Mapping[Kind, str], reader: Reader, values: Mapping[str, Any]) -> str:
    text = filled.get("text")
    if text is None:
        html = filled["html"]
        text = get_text(html, _WITH_LINKS)
        if _WHOLE.search(html):  # which has its own way out
            return _not_empty("html", mail_text(text))
    body = _not_empty("text", text.strip())
    return mail_text(render_part("override.txt.j2", reader, {**values, "body": body}))


def _html_part(
    filled: Mapping[Kind, str], subject: str, reader: Reader, values: Mapping[str, Any]
) -> str:
    html = filled.get("html")
    if html is not None and _WHOLE.search(html):
        return inlined(html)
    body = None if html is None else Markup(html)  # noqa: S704 - its values are escaped: `fill` does
    paragraphs = re.split(r"\n\s*\n", filled.get("text", "").strip())
    known = {**values, "title": subject, "body": body, "paragraphs": paragraphs}
    return inlined(render_part("override.html.j2", reader, known))
