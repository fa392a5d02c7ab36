"""Texts from templates: `templates/<name>.<language>.{subject,txt,html,sms}.j2`.

Whatever comes from outside is escaped in HTML, and a name that a template misspells is an error.
"""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import css_inline
from jinja2 import PackageLoader, StrictUndefined, select_autoescape
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jobs.messaging.reading import FILTERS, Reader, read_by

_TEMPLATES = ImmutableSandboxedEnvironment(
    loader=PackageLoader("jobs.messaging"),
    autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,
)
_TEMPLATES.filters.update(FILTERS)
# A dark screen's colours are at-rules, which no attribute can say.
_INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
_SHARED = ("layout.html.j2", "layout.txt.j2", "parts.html.j2")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's texts; an SMS has neither subject nor HTML. `version` is its template's."""

    version: str
    text: str
    subject: str = ""
    html: str = ""


def render_mail(name: str, reader: Reader, values: Mapping[str, Any]) -> Rendered:
    """Fill the three templates of one mail. Raises jinja2.TemplateError."""
    parts = {kind: f"{name}.{reader.locale}.{kind}.j2" for kind in ("subject", "txt", "html")}
    with read_by(reader):
        subject, text, html = (
            _TEMPLATES.get_template(part).render(values) for part in parts.values()
        )
    return Rendered(
        version=built_in_version(*parts.values(), *_SHARED),
        subject=" ".join(subject.split()),
        text=text.strip() + "\n",
        html=_inlined(html),
    )


def render_sms(name: str, reader: Reader, values: Mapping[str, Any]) -> Rendered:
    """Fill the template of one SMS. Raises jinja2.TemplateError."""
    part = f"{name}.{reader.locale}.sms.j2"
    with read_by(reader):
        text = _TEMPLATES.get_template(part).render(values)
    return Rendered(version=built_in_version(part), text=one_paragraph(text))


def one_paragraph(text: str) -> str:
    """An SMS has no blank lines, and no spaces to pay for."""
    return "\n".join(line for line in (" ".join(one.split()) for one in text.splitlines()) if line)


def _inlined(html: str) -> str:
    """With each style at its element; and with the letters' encoding at the very beginning, for
    those who open the file.
    """
    return _INLINER.inline(html).replace("<head>", '<head><meta charset="utf-8">', 1)


@functools.cache
def built_in_version(*parts: str) -> str:
    """`built-in-` and what tells these templates from earlier ones."""
    digest = hashlib.sha256()
    for part in parts:
        loader = _TEMPLATES.loader
        assert loader is not None  # noqa: S101 - given a few lines above
        digest.update(loader.get_source(_TEMPLATES, part)[0].encode())
    return f"built-in-{digest.hexdigest()[:12]}"
