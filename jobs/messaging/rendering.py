"""Texts from the product's own templates: `templates/<name>.<language>.{subject,txt,html,sms}.j2`.

Whatever comes from outside is escaped in HTML, and a name that a template misspells is an error.

A mail may mark a paragraph as the block `opening`, in text and HTML alike: it can then be said in
other words, which are plain text and escaped as any value is.
"""

import functools
import hashlib
import html
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import css_inline
from jinja2 import (
    PackageLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
    meta,
    select_autoescape,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import escape

from clients.graphemes import shortened
from jobs.messaging.core.channels import Channel
from jobs.messaging.reading import FILTERS, Reader, read_by


def printed(value: Any) -> Any:
    """What is not known is nothing, and not the word None."""
    return "" if value is None else value


_LOADER = PackageLoader("jobs.messaging")
_TEMPLATES = ImmutableSandboxedEnvironment(
    loader=_LOADER,
    autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
    undefined=StrictUndefined,
    finalize=printed,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,
)
_TEMPLATES.filters.update(FILTERS)
# A dark screen's colours are at-rules, which no attribute can say.
_INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
# What a template's filters and operations raise for values that they cannot take.
TROUBLES = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    MemoryError,
)
LONGEST_SUBJECT = 200  # characters
_LONGEST_IN_SUBJECT = 80
# Neither seen by anybody nor taken by any provider; white space is dealt with by itself.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n{3,}")
_UNDEFINED = re.compile(r"'(?P<name>[A-Za-z_]\w*)' is undefined|has no attribute '(?P<part>\w+)'")
_PARTS: dict[Channel, tuple[str, ...]] = {"email": ("subject", "txt", "html"), "sms": ("sms",)}


class RenderingError(Exception):
    """A template of the product's own and its values do not fit; no value is told."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's texts; an SMS has neither subject nor HTML. `version` is its template's.

    `opening` is the paragraph of a mail that may be said in other words; None: there is none.
    """

    version: str
    text: str
    subject: str = ""
    html: str = ""
    opening: str | None = None


def is_built_in(name: str, language: str, channel: Channel) -> bool:
    """Does the product have words of its own for this message?"""
    try:
        _LOADER.get_source(_TEMPLATES, f"{name}.{language}.{_PARTS[channel][0]}.j2")
    except TemplateNotFound:
        return False
    return True


def render(
    name: str, reader: Reader, values: Mapping[str, Any], *, opening: str | None = None
) -> Rendered:
    """Fill the templates of one message; `opening` takes the place of theirs. Raises
    RenderingError.
    """
    parts = _parts_of(name, reader)
    short = brief(values)
    filled = [
        _filled(part, reader, short if part.endswith(".subject.j2") else values, opening)
        for part in parts
    ]
    if reader.channel == "sms":
        return Rendered(built_in_version(*parts), sms_text(filled[0].text))
    subject, text, page = filled
    return Rendered(
        built_in_version(*parts),
        mail_text(text.text),
        subject_line(subject.text),
        inlined(page.text),
        opening_of([text, page]),
    )


def prepare(name: str, reader: Reader) -> bool:
    """Compile a message's templates, which takes ten times as long as to fill them. For a thread.

    False when there are none, which is told when they are to be filled.
    """
    parts = _parts_of(name, reader)
    try:
        for file in _sources_of(parts):
            _TEMPLATES.get_template(file)
        built_in_version(*parts)
    except TemplateError:
        return False
    return True


def _parts_of(name: str, reader: Reader) -> tuple[str, ...]:
    return tuple(f"{name}.{reader.locale}.{part}.j2" for part in _PARTS[reader.channel])


@dataclass(frozen=True, slots=True)
class Filled:
    """One part of a message; `opening` is that block's plain words, None if it has no such block,
    or one with markup in it.
    """

    text: str
    opening: str | None


def opening_of(parts: Collection[Filled]) -> str | None:
    """What all of them have as their opening: in other words, too, they say the same."""
    said = {part.opening for part in parts}
    return said.pop() if len(said) == 1 else None


def fill_template(
    template: Template, values: Mapping[str, Any], *, is_html: bool, opening: str | None = None
) -> tuple[Iterator[str], str | None]:
    """The template's text piece by piece, and its opening. Raises what templates raise."""
    context = template.new_context(dict(values))
    block = template.blocks.get("opening")
    said = "".join(block(context)) if block else ""
    if not said.strip() or (is_html and "<" in said):
        return template.root_render_func(context), None
    if opening is not None:
        words = str(escape(opening)) if is_html else opening
        # With the line breaks around it.
        words = said.replace(said.strip(), words)
        context.blocks["opening"] = [lambda _: iter([words])]
    return template.root_render_func(context), one_line(html.unescape(said) if is_html else said)


def _filled(file: str, reader: Reader, values: Mapping[str, Any], opening: str | None) -> Filled:
    is_html = file.endswith(".html.j2")
    try:
        with read_by(reader):
            template = _TEMPLATES.get_template(file)
            pieces, own = fill_template(template, values, is_html=is_html, opening=opening)
            return Filled("".join(pieces), own)
    except TemplateNotFound as error:
        raise RenderingError(f"there is no template {error.name}") from None
    except TROUBLES as error:
        raise RenderingError(f"{file}: {reason_of(error, source_of(file))}") from None


def reason_of(error: BaseException, source: str) -> str:
    """In a sentence that tells the template's own words, and never a value."""
    match error:
        case TemplateSyntaxError():
            where = f"{error.name}, " if error.name else ""
            return f"{where}line {error.lineno}: {error.message}"
        case UndefinedError():
            return _missing(error.message or "", source)
        case RecursionError():
            return "nests too deeply"
        case MemoryError():
            return "takes too much memory"
        case _:
            return f"a filter or an operation got what it cannot take ({type(error).__name__})"


def _missing(message: str, source: str) -> str:
    match = _UNDEFINED.search(message)
    name = match and (match["name"] or match["part"])
    # A name that was put together from values is not to be told.
    return f"there is no {name}" if name and name in source else "asks for what there is not"


def render_part(file: str, reader: Reader, values: Mapping[str, Any]) -> str:
    """Fill one file of `templates/`. Raises jinja2.TemplateError."""
    with read_by(reader):
        return _TEMPLATES.get_template(file).render(values)


def one_line(text: str) -> str:
    """A subject as its header takes it."""
    return " ".join(_CONTROL.sub("", text).split())


def subject_line(text: str) -> str:
    """What a list of mails shows, and no more than that."""
    return shortened(one_line(text), LONGEST_SUBJECT)


def brief(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as a subject takes them: none so long that it leaves no room for the others."""
    return {
        name: shortened(value, _LONGEST_IN_SUBJECT) if isinstance(value, str) else value
        for name, value in values.items()
    }


def mail_text(text: str) -> str:
    """A text part with one line break at its end, and never two blank lines."""
    plain = _CONTROL.sub("", text)
    lines = "\n".join(line.rstrip() if line.strip() != "--" else line for line in plain.split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip() + "\n"


def sms_text(text: str) -> str:
    """An SMS has no blank lines, and no spaces to pay for."""
    lines = (one_line(line) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def inlined(page: str) -> str:
    """With each style at its element; and with the letters' encoding at the very beginning, for
    those who open the file.
    """
    return _INLINER.inline(page).replace("<head>", '<head><meta charset="utf-8">', 1)


def source_of(file: str) -> str:
    """Raises TemplateNotFound."""
    return _LOADER.get_source(_TEMPLATES, file)[0]


@functools.cache
def built_in_version(*files: str) -> str:
    """`built-in-` and what tells these templates, with all they import, from earlier ones."""
    sources = _sources_of(files)
    digest = hashlib.sha256("\n".join(sources[file] for file in sorted(sources)).encode())
    return f"built-in-{digest.hexdigest()[:12]}"


def _sources_of(files: Iterable[str]) -> dict[str, str]:
    """By file, with all they import. Raises TemplateNotFound."""
    sources: dict[str, str] = {}
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file not in sources:
            sources[file] = source_of(file)
            imported = meta.find_referenced_templates(_TEMPLATES.parse(sources[file]))
            waiting += [one for one in imported if one]
    return sources
