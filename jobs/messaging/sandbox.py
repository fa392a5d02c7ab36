"""A tenant's own words, filled where they can do no harm.

Jinja's sandbox keeps templates from Python's inside, but not from time and memory: so nothing can
be called but macros, texts do not multiply, and all of it runs in a process that has little of
either (`render_bounded`).
"""

import resource
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final, ParamSpec, TypeVar

from jinja2 import FunctionLoader, StrictUndefined, TemplateNotFound, meta, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.filters import FILTERS as BUILT_IN_FILTERS
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from typing_extensions import override

from jobs.messaging.core.override import Kind
from jobs.messaging.reading import FILTERS
from jobs.messaging.rendering import (
    TROUBLES,
    Filled,
    fill_template,
    printed,
    reason_of,
    source_of,
)

P = ParamSpec("P")
R = TypeVar("R")

CPU_SECONDS: Final = 2
_MEMORY = 256 * 1024 * 1024  # bytes, besides what the process has when it begins
_LONGEST_SOURCE = {"subject": 500, "text": 20_000, "html": 100_000, "sms": 2_000}  # characters
_LONGEST = {"subject": 250, "text": 100_000, "html": 400_000, "sms": 1_600}
# Those that cannot make much of little.
_KNOWN_FILTERS = (
    "abs", "count", "d", "default", "e", "escape", "first", "int", "items", "join", "last",
    "length", "list", "reverse", "round", "sort", "trim", "truncate", "unique", "urlencode",
)  # fmt: skip
_IMPORTABLE = "parts.html.j2"
_LARGEST_BASE, _LARGEST_EXPONENT = 10**18, 16


class OverrideError(ValueError):
    """A tenant's template does not work. `field` is subject, text or html; no value is told."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    @override
    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class _RefusedError(SecurityError):
    """Our own refusals, whose words tell nothing of the values."""


class _OutOfTimeError(BaseException):
    """No Exception: jinja takes some of those for a missing attribute."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    @override
    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic is for numbers: a text times a thousand million is a gigabyte."""
        if any(isinstance(one, str | bytes | list | tuple) for one in (left, right)):
            raise _RefusedError(f"{operator} is for numbers; texts are joined with ~")
        if operator == "**" and (abs(left) > _LARGEST_BASE or abs(right) > _LARGEST_EXPONENT):
            raise _RefusedError("the power is too large")
        return super().call_binop(context, operator, left, right)

    @override
    def is_safe_callable(self, obj: Any) -> bool:
        """What was passed in is to be read, not called."""
        return isinstance(obj, Macro)


def _environment(*, is_html: bool) -> _Environment:
    environment = _Environment(
        loader=FunctionLoader(lambda name: source_of(name) if name == _IMPORTABLE else None),
        autoescape=is_html,
        undefined=StrictUndefined,
        finalize=printed,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=10,
    )
    environment.globals.clear()
    environment.filters = {name: BUILT_IN_FILTERS[name] for name in _KNOWN_FILTERS}
    environment.filters.update(FILTERS)
    return environment


_HTML, _TEXT = _environment(is_html=True), _environment(is_html=False)


def fill(kind: Kind, source: str, values: Mapping[str, Any], opening: str | None = None) -> Filled:
    """One part of a template, with these values. Raises OverrideError."""
    tree = _parsed(kind, source)
    try:
        template, is_html = _of(kind).from_string(tree), kind == "html"
        pieces, own = fill_template(template, values, is_html=is_html, opening=opening)
        return Filled(_limited(kind, pieces), own)
    except (*TROUBLES, _OutOfTimeError) as error:
        raise OverrideError(_field(kind), _reason(error, source)) from None


def unknown_names(kind: Kind, source: str, known: Iterable[str]) -> list[str]:
    """What it asks for, and will not get. Raises OverrideError for what is no template."""
    try:
        return sorted(meta.find_undeclared_variables(_parsed(kind, source)) - set(known))
    except TemplateSyntaxError as error:  # of a filter or test that there is not
        raise OverrideError(_field(kind), _reason(error, source)) from None


def render_bounded(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call it in this process, which is to end with it: its time and memory are short from now on.

    Raises OverrideError when they do not suffice; what cannot be interrupted is killed.
    """
    if sys.platform == "linux":  # elsewhere the limit is not kept, or not known
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    signal.signal(signal.SIGXCPU, _out_of_time)
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS, used + CPU_SECONDS + 1))
    try:
        return function(*args, **kwargs)
    except (_OutOfTimeError, MemoryError) as error:
        raise OverrideError("html", _reason(error, "")) from None


def _out_of_time(_: int, __: FrameType | None) -> None:
    raise _OutOfTimeError


def _parsed(kind: Kind, source: str) -> nodes.Template:
    limit = _LONGEST_SOURCE[kind]
    if len(source) > limit:
        raise OverrideError(_field(kind), f"is longer than {limit} characters")
    try:
        tree = _of(kind).parse(source)
    except (TemplateSyntaxError, RecursionError, MemoryError) as error:
        raise OverrideError(_field(kind), _reason(error, source)) from None
    if tree.find(nodes.ScopedEvalContextModifier):
        raise OverrideError(_field(kind), "autoescape cannot be changed")
    return tree


def _of(kind: Kind) -> _Environment:
    return _HTML if kind == "html" else _TEXT


def _field(kind: Kind) -> str:
    """Where that part is kept."""
    return "text" if kind == "sms" else kind


def _limited(kind: Kind, parts: Iterable[str]) -> str:
    limit, length, kept = _LONGEST[kind], 0, []
    for part in parts:
        length += len(part)
        if length > limit:
            raise OverrideError(_field(kind), f"becomes longer than {limit} characters")
        kept.append(part)
    return "".join(kept)


def _reason(error: BaseException, source: str) -> str:
    """In a sentence that tells the template's own words, and never a value."""
    match error:
        case OverrideError():
            return error.reason
        case TemplateNotFound():
            return f"nothing but {_IMPORTABLE} can be imported"
        case _RefusedError():
            return str(error.message)
        case SecurityError():
            return "nothing but macros can be called, and no name begins with _"
        case _OutOfTimeError():
            return f"takes longer than {CPU_SECONDS} seconds"
        case _:
            return reason_of(error, source)
