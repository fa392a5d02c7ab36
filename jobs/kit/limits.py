"""What a job says about when its runs may start; kept by the engine, over all workers.

A run that is over a limit waits without spending an attempt, in the order in which it came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from jobs.kit.template import Template, short

MOST_STARTS = 10_000  # of one rate limit: Redis remembers each until it is out of the window
MOST_PRIORITY = 9
_LEAST_WINDOW, _LONGEST_WINDOW = 0.001, 31 * 86_400  # seconds
_LONGEST_WAIT = 86_400
# What a level of priority is worth: a run of level p is taken as if it had come p minutes earlier.
# So one of level 0 waits at most nine minutes longer than by the order in which they came.
HEAD_START = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `count` starts in any `per` seconds, for each value of `key`: "gdrive:{source_id}".

    All jobs that write the same key share it. A key without fields is one for all.
    """

    key: str
    count: int
    per: float
    template: Template = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", _template("RateLimit", self.key))
        _require(1 <= self.count <= MOST_STARTS, f"RateLimit: count is 1 to {MOST_STARTS}")
        _require(
            _LEAST_WINDOW <= self.per <= _LONGEST_WINDOW,
            "RateLimit: per is a millisecond to 31 days",
        )

    def key_of(self, values: Mapping[str, Any]) -> str:
        """The key for these values of its fields. Raises KeyError."""
        return short(self.template.of(values))


@dataclass(frozen=True, slots=True)
class Debounce:
    """Runs of one `key` that are enqueued while one waits become that one, with the newest payload.

    It starts `wait` seconds after the last of them, and `at_most` seconds after the first.
    """

    key: str
    wait: float
    at_most: float | None = None
    template: Template = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", _template("Debounce", self.key))
        _require(
            0 < self.wait <= _LONGEST_WAIT, "Debounce: wait is more than nothing, at most a day"
        )
        _require(
            self.at_most is None or self.wait <= self.at_most <= _LONGEST_WINDOW,
            "Debounce: at_most is no less than wait, and at most 31 days",
        )

    @property
    def longest(self) -> float:
        """Seconds from the first to the start: ten waits, unless `at_most` says otherwise."""
        return self.wait * 10 if self.at_most is None else self.at_most


@dataclass(frozen=True, slots=True)
class Throttle:
    """One run of a `key` in any `per` seconds: the first at once, and of those that come within
    the time one when it is over, with the newest payload.
    """

    key: str
    per: float
    template: Template = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", _template("Throttle", self.key))
        _require(
            0 < self.per <= _LONGEST_WINDOW, "Throttle: per is more than nothing, at most 31 days"
        )


def _template(what: str, key: str) -> Template:
    _require(bool(key), f"{what}: the key is not empty")
    return Template(key)


def _require(condition: bool, sentence: str) -> None:  # noqa: FBT001 - reads like assert
    if not condition:
        raise ValueError(sentence)
