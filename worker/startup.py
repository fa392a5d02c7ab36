"""What goes wrong at the start, and waiting for servers that start at the same time as we do."""

import asyncio
from collections.abc import Awaitable, Callable

_PAUSE = 0.5  # seconds between tries


class StartupError(Exception):
    """The worker cannot start; the sentence says what to do."""


async def until_it_answers(
    call: Callable[[], Awaitable[object]],
    *,
    name: str,
    within: float,
    away: tuple[type[Exception], ...],
) -> None:
    """Call until it does not raise one of `away`, at most `within` seconds. Raises StartupError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        try:
            await call()
        except away as error:
            if loop.time() >= deadline:
                sentence = f"{name} does not answer after {within:g} s: {type(error).__name__}"
                raise StartupError(sentence) from None
            await asyncio.sleep(min(_PAUSE, within))
        else:
            return
