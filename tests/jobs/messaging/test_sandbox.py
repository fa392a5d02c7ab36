"""What a tenant's template may not do, and what it is told then."""

import asyncio
import hashlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from jobs.kit import OffloadError
from jobs.messaging.sandbox import CPU_SECONDS, OverrideError, fill, render_bounded, unknown_names
from worker.offload import Offloader


@dataclass(frozen=True)
class Customer:
    name: str = "Ayşe <b>Işık</b>"
    secret: str = "do not tell"

    def delete(self) -> str:
        raise AssertionError("a template has called a method of a value")


def forbidden() -> str:
    raise AssertionError("a template has called a function that it was passed")


VALUES: dict[str, Any] = {
    "customer": Customer(),
    "call": forbidden,
    "lines": ["a", "b"],
    "amount": 7,
    "text": "x",
}


@pytest.mark.parametrize(
    "source",
    [
        # the way to Python's inside
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ customer.__init__.__globals__ }}",
        "{{ customer['__class__'] }}",
        "{{ lines|first|attr('__class__') }}",
        "{{ call.__globals__ }}",
        "{{ (lambda: 1)() }}",
        # what was passed in is to be read, not called
        "{{ call() }}",
        "{{ customer.delete() }}",
        "{{ text.upper() }}",
        "{{ lines.append('c') }}",
        "{{ '{0.__class__}'.format(customer) }}",
        "{{ '%s'.__mod__(1) }}",
        # much from little
        "{{ 'a' * 10**9 }}",
        "{{ 10**9 * 'a' }}",
        "{{ lines * 10**9 }}",
        "{{ 9**(9**9) }}",
        "{{ 9**9**9**9 }}",
        "{{ '%1000000000d' % 1 }}",
        '{{ "{:>1000000000}".format(1) }}',
        "{{ 'a'|center(10**9) }}",
        "{{ 'a'|indent(10**9) }}",
        "{{ [1]|batch(10**9, 'x')|list }}",
        "{{ '%1000000000d'|format(1) }}",
        "{{ 'a'|replace('', 'aaaaaaaa') }}",
        "{% for one in range(10**6) %}{% endfor %}",
        "{{ lipsum(10**6) }}",
        "{{ cycler(1) }}",
        "{{ namespace(a=1) }}",
        # other files
        "{% include 'welcome.en.txt.j2' %}",
        "{% include '/etc/passwd' %}",
        "{% extends 'layout.html.j2' %}",
        "{% import 'layout.txt.j2' as layout %}",
        "{% from '../rendering.py' import x %}",
        # its own way around escaping
        "{{ customer.name|safe }}",
        "{% autoescape false %}{{ customer.name }}{% endautoescape %}",
        # itself
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        # nothing that is there
        "{{ customer.email }}",
        "{{ nobody }}",
        "{{ nobody.name }}",
        "{% if nobody %}{% endif %}",
        # no template
        "{{ customer.name",
        "{% for one in lines %}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    ],
)
@pytest.mark.parametrize("kind", ["html", "text"])
def test_it_may_not(kind: Any, source: str) -> None:
    began = time.monotonic()

    with pytest.raises(OverrideError) as refused:
        fill(kind, source, VALUES)

    assert time.monotonic() - began < 2
    assert refused.value.field == kind
    said = str(refused.value)
    assert not [word for word in ("do not tell", "Ayşe", "Customer(", "function") if word in said]


def test_what_it_may_do_is_enough_for_a_letter() -> None:
    source = (
        "{% from 'parts.html.j2' import facts %}"
        "{% macro bold(text) %}<b>{{ text }}</b>{% endmacro %}"
        "{% set total = amount * 2 + 1 %}"
        "{{ bold(customer.name) }} {{ total }} {{ text ~ '!' }} {{ lines|join(', ') }}"
        "{% for one in lines %}{{ loop.index }}{{ one }}{% endfor %}"
        "{{ nobody|default('nobody') }}{% if nobody is defined %}?{% endif %}"
        "{{ facts((('A', 1),)) }}"
    )

    html = fill("html", source, VALUES).text

    assert "<b>Ayşe &lt;b&gt;Işık&lt;/b&gt;</b> 15 x! a, b1a2bnobody" in html
    assert "<td>1</td>" in html


def test_what_is_missing_is_named() -> None:
    for source, name in (("{{ nobody }}", "nobody"), ("{{ customer.email }}", "email")):
        with pytest.raises(OverrideError, match=rf"^text: there is no {name}$"):
            fill("text", source, VALUES)


def test_a_name_that_comes_from_a_value_is_not_told() -> None:
    with pytest.raises(OverrideError) as refused:
        fill("text", "{{ {}[customer.secret] }}", VALUES)

    assert str(refused.value) == "text: asks for what there is not"


def test_a_mistake_is_told_with_its_line() -> None:
    with pytest.raises(OverrideError, match=r"^subject: line 2: "):
        fill("subject", "a\n{{ b", VALUES)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("subject", "a" * 501),
        ("sms", "a" * 2001),
        ("html", "{% for a in lines %}{% for b in lines %}" * 10 + "x" * 500),
    ],
)
def test_what_is_too_long_or_not_closed_is_refused(kind: Any, source: str) -> None:
    with pytest.raises(OverrideError):
        fill(kind, source, VALUES)


def test_what_becomes_too_long_is_stopped_on_the_way() -> None:
    lines = ["y" * 1000] * 100_000

    with pytest.raises(OverrideError, match="text: becomes longer than 100000 characters"):
        fill("text", "{% for one in lines %}{{ one }}{% endfor %}", {"lines": lines})


def test_names_that_are_not_there_are_found_without_filling() -> None:
    source = "{% set a = 1 %}{{ a }}{{ known }}{{ b.c }}{% if d %}{{ e|default(f) }}{% endif %}"

    assert unknown_names("text", source, {"known"}) == ["b", "d", "e", "f"]


@pytest.mark.parametrize("source", ["{{ a|nl2br }}", "{{ a|safe }}", "{{ a is nowhere }}"])
def test_a_filter_or_test_that_there_is_not_is_told(source: str) -> None:
    with pytest.raises(OverrideError, match=r"html: .*No (filter|test) named"):
        unknown_names("html", source, {"a"})


async def bounded(source: str, values: dict[str, Any] | None = None) -> str:
    offload = Offloader()
    async with asyncio.timeout(50):
        return (await offload(render_bounded, fill, "text", source, values or {})).text


async def test_a_process_of_its_own_fills_what_is_harmless() -> None:
    assert await bounded("{{ a }}", {"a": 1}) == "1"


TWICE = "{% macro m(n) %}{% if n %}{{ m(n - 1) ~ m(n - 1) }}{% endif %}{% endmacro %}"
NESTED = "{% for a in lines %}{% for b in lines %}{% for c in lines %}{% for d in lines %}"


@pytest.mark.parametrize(
    ("source", "values"),
    [
        (NESTED + "{% endfor %}" * 4, {"lines": ["a"] * 1000}),
        (TWICE + "{{ m(60) }}", {}),
        ("{{ 1.5|round(10**9, 'ceil') }}", {}),
    ],
)
async def test_what_burns_time_is_stopped(source: str, values: dict[str, Any]) -> None:
    with pytest.raises(OverrideError, match=rf"takes longer than {CPU_SECONDS} seconds"):
        await bounded(source, values)


async def test_what_cannot_be_interrupted_is_killed() -> None:
    """One long computation within C, which looks at no signals."""
    with pytest.raises(OffloadError):
        await Offloader()(render_bounded, hashlib.pbkdf2_hmac, "sha256", b"a", b"b", 10**9)


async def test_what_doubles_again_and_again_runs_out_of_memory() -> None:
    doubling = "{% set a = 'aaaaaaaa' %}" + "{% set a = a ~ a %}" * 40

    with pytest.raises((OverrideError, OffloadError), match=r"too much memory|out of memory"):
        await bounded(doubling)


def read_limits() -> tuple[bool, bool]:
    import resource  # noqa: PLC0415 - only here

    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    return soft < hard <= CPU_SECONDS + 60, signal.getsignal(signal.SIGXCPU) is not signal.SIG_DFL


async def test_the_limits_are_those_of_the_child_alone() -> None:
    function: Callable[[], tuple[bool, bool]] = read_limits

    assert await Offloader()(render_bounded, function) == (True, True)
    assert read_limits() == (False, False)
