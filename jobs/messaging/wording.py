"""The words of a message: the tenant's own, or else the product's."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import UUID

from clients.errors import RequestRejectedError
from jobs.kit import JobContext, OffloadError
from jobs.kit.context import Offload
from jobs.messaging import queries
from jobs.messaging.catalogue import kind_of
from jobs.messaging.core.override import Override
from jobs.messaging.overrides import render_override
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import Rendered, RenderingError, is_built_in, prepare, render
from jobs.messaging.sandbox import OverrideError, render_bounded

# By `weight`: what takes some 10 ms, as the longest weekly summary nearly does. A process takes
# 200 ms, but none of them is the loop's.
HEAVIEST: Final = 350
_CHARACTERS: Final = 250  # that take as long as one more value
# Messages whose templates are compiled: no more than the product has.
_prepared: set[tuple[str, str, str]] = set()
# Other words for the opening of a mail, plain and on one line; None: it stays as it is.
Reword: TypeAlias = Callable[[str], Awaitable[str | None]]


async def words(
    ctx: JobContext,
    tenant_id: UUID,
    name: str,
    reader: Reader,
    values: Mapping[str, Any],
    *,
    strict: bool = False,
    reword: Reword | None = None,
) -> Rendered:
    """The message's texts, filled. `reword` is asked for other words where they have an opening.

    A tenant's template that does not work must not keep a reminder from going out, so the product's
    takes its place; that is logged and counted. `strict`, and where the product has none, it is a
    RequestRejectedError, which names template, version and what is wrong.
    """
    key = queries.Key(name, reader.locale, reader.channel)
    override = await queries.active_override(ctx.db, tenant_id, key)
    if override is not None:
        try:
            made = await _own_words(ctx, name, override, reader, values)
        except (OverrideError, OffloadError) as error:
            _fall_back(ctx, name, override, reader, error, strict=strict)
        else:
            return await _reworded(
                made, reword, partial(_own_words, ctx, name, override, reader, values)
            )
    again = partial(product_words, ctx.offload, name, reader, values)
    try:
        return await _reworded(await again(), reword, again)
    except RenderingError as error:
        raise RequestRejectedError(f"message {name}: {error}") from None


async def _own_words(
    ctx: JobContext,
    name: str,
    override: Override,
    reader: Reader,
    values: Mapping[str, Any],
    opening: str | None = None,
) -> Rendered:
    return await ctx.offload(
        render_bounded, render_override, name, override, reader, values, opening
    )


async def product_words(
    offload: Offload,
    name: str,
    reader: Reader,
    values: Mapping[str, Any],
    opening: str | None = None,
) -> Rendered:
    """The product's texts, filled; long ones in a process, for the loop has others to serve.

    Raises RenderingError, and OffloadError for a process that died.
    """
    kind = (name, reader.locale, reader.channel)
    if kind not in _prepared and await asyncio.to_thread(prepare, name, reader):
        _prepared.add(kind)
    if weight(values) <= HEAVIEST:
        return render(name, reader, values, opening=opening)
    return await offload(render, name, reader, values, opening=opening)


def weight(value: Any) -> int:
    """About how long a value takes to be said: lines of lists count, and very long texts."""
    match value:
        case str():
            return 1 + len(value) // _CHARACTERS
        case Mapping():
            return sum(weight(one) for one in value.values())
        case list() | tuple():
            return sum(weight(one) for one in value)
    if is_dataclass(value):
        return sum(weight(getattr(value, one.name)) for one in fields(value))
    return 1


async def _reworded(
    made: Rendered, reword: Reword | None, again: Callable[[str], Awaitable[Rendered]]
) -> Rendered:
    """What was made, with another opening if there is one. It never keeps the message back."""
    if reword is None or made.opening is None:
        return made
    opening = await reword(made.opening)
    if opening is None:
        return made
    try:
        changed = await again(opening)
        return replace(changed, version=f"{changed.version}+reworded")
    except (OverrideError, OffloadError, RenderingError):
        return made


def _fall_back(
    ctx: JobContext,
    name: str,
    override: Override,
    reader: Reader,
    error: OverrideError | OffloadError,
    *,
    strict: bool,
) -> None:
    """Raises RequestRejectedError when there is nothing to fall back to, or it is not wanted."""
    known = isinstance(error, OverrideError)
    reason = str(error) if known else "takes too long, or too much memory"
    if strict or not is_built_in(name, reader.locale, reader.channel):
        raise RequestRejectedError(
            f"message {name}: the tenant's own template, version {override.version} "
            f"({reader.locale}, {reader.channel}), does not work: {reason}"
        ) from None
    ctx.log.warning(
        "A tenant's template does not work; the product's takes its place",
        template=name,
        version=override.version,
        language=reader.locale,
        channel=reader.channel,
        reason=reason,
    )
    ctx.meter.template_failed(channel=reader.channel, template=kind_of(name))
