"""A job's controls: what its runs carry so that the engine knows when each may start.

They travel as words at the head of a run's message, for the engine's scripts to read:

    p<ms>                  a head start over those that came no more than so long before
    r<count>/<ms>/<key>    at most so many starts in any such time
    k<count>/<key>         at most so many at once
    o/<key>                one after the other, also while one waits for its next attempt
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from jobs.kit.limits import HEAD_START, MOST_PRIORITY, Debounce, RateLimit, Throttle
from jobs.kit.payload import Payload
from jobs.kit.template import Template, TemplateError, short

# What would end a word, or the list of them, in the message.
_UNFIT = frozenset('"[]\\') | {chr(code) for code in range(32)} | {chr(127)}
_MOST_AT_ONCE = 10_000
_MOST_LIMITS = 10
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """When runs may start: limits, order, priority. `at_once` runs of a `concurrency` key."""

    rate_limits: tuple[RateLimit, ...] = ()
    concurrency: Template | None = None
    at_once: int = 1
    singleton: bool = False
    partition: Template | None = None
    priority: int = 0

    @property
    def any(self) -> bool:
        """Does a run of this job carry words at all?"""
        return bool(
            self.rate_limits
            or self.concurrency
            or self.singleton
            or self.partition
            or self.priority
        )

    def words(self, job: str, values: Mapping[str, Any], priority: int | None = None) -> list[str]:
        """What a run with these payload values carries. Raises ValueError for a wrong priority."""
        level = self.priority if priority is None else priority
        words = [] if level == 0 else [f"p{head_start_ms(level)}"]
        if self.singleton:
            words.append(f"k1/{job}")
        if self.partition is not None:
            words.append(f"o/{short(self.partition.of(values))}")
        if self.concurrency is not None:
            words.append(f"k{self.at_once}/{job}:{short(self.concurrency.of(values))}")
        words += [
            f"r{limit.count}/{int(limit.per * 1000)}/{limit.key_of(values)}"
            for limit in self.rate_limits
        ]
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What becomes of a request that was made before. Seconds."""

    idempotency: Template | None = None
    unique_for: float | None = None
    debounce: Debounce | None = None
    throttle: Throttle | None = None
    cache: Template | None = None
    cache_for: float | None = None

    @property
    def merging(self) -> Template | None:
        """Over which fields requests are made one."""
        if self.debounce is not None:
            return self.debounce.template
        return None if self.throttle is None else self.throttle.template


def head_start_ms(priority: int) -> int:
    """What a level of priority is worth. Raises ValueError when there is no such level."""
    if type(priority) is not int or not 0 <= priority <= MOST_PRIORITY:
        raise ValueError(f"priority is 0 to {MOST_PRIORITY}, not {priority!r}")
    return priority * (HEAD_START // _MILLISECOND)


def problem_of(controls: Controls, repeats: Repeats, payload: type[Payload]) -> str | None:
    """What is wrong with these for such a payload, as a sentence; None if nothing."""
    fields = payload.model_fields
    templates = {
        "idempotency_key": repeats.idempotency,
        "debounce": None if repeats.debounce is None else repeats.debounce.template,
        "throttle": None if repeats.throttle is None else repeats.throttle.template,
        "cache_key": repeats.cache,
        "concurrency_key": controls.concurrency,
        "partition_key": controls.partition,
    }
    named = [(option, template) for option, template in templates.items() if template is not None]
    named += [("rate_limits", limit.template) for limit in controls.rate_limits]
    for option, template in named:
        missing = [name for name in template.fields if name not in fields]
        if missing:
            return (
                f"{option} names {', '.join(missing)}, "
                f"which {payload.__name__} does not have ({', '.join(fields)})"
            )
        if _UNFIT & set(template.text):
            return f"{option} {template.text!r}: neither brackets, quotes, backslashes nor controls"
    if repeats.idempotency is not None and not repeats.idempotency.fields:
        return "idempotency_key names no field: all runs would be one"
    if repeats.cache is not None and not repeats.cache.fields:
        return "cache_key names no field: all runs would have one result"
    return _clash(controls, repeats) or _out_of_bounds(controls, repeats)


def _clash(controls: Controls, repeats: Repeats) -> str | None:
    chosen = [
        option
        for option, is_chosen in (
            ("idempotency_key or unique_for", repeats.idempotency or repeats.unique_for),
            ("debounce", repeats.debounce),
            ("throttle", repeats.throttle),
            ("cache_for", repeats.cache_for),
            ("singleton", controls.singleton),
        )
        if is_chosen
    ]
    if len(chosen) > 1:
        return f"{' and '.join(chosen)} say two things of a repeated request: choose one"
    if (repeats.cache is None) != (repeats.cache_for is None):
        return "cache_key and cache_for need each other"
    return None


def _out_of_bounds(controls: Controls, repeats: Repeats) -> str | None:
    if not 0 <= controls.priority <= MOST_PRIORITY:
        return f"priority is 0 to {MOST_PRIORITY}"
    if not 1 <= controls.at_once <= _MOST_AT_ONCE:
        return f"concurrency_limit is 1 to {_MOST_AT_ONCE}"
    if len(controls.rate_limits) > _MOST_LIMITS:
        return f"at most {_MOST_LIMITS} rate_limits"
    for option, seconds in (("unique_for", repeats.unique_for), ("cache_for", repeats.cache_for)):
        if seconds is not None and not 0 < seconds <= 366 * 86_400:
            return f"{option} is more than 0, and at most a year"
    return None


def template_of(option: str, text: str | None) -> Template | None:
    """Raises TemplateError, with the option's name."""
    try:
        return None if text is None else Template(text)
    except TemplateError as error:
        raise TemplateError(f"{option} {error}") from None
