"""The loop of whatever is measured."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import uvloop

T = TypeVar("T")


def run(work: Coroutine[object, object, T]) -> T:
    """The result, or what was raised."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
