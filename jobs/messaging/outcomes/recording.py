"""Writes down what providers tell: each event once, and each in a transaction of its own."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar

from jobs.kit import JobContext
from jobs.messaging.catalogue import kind_of_delivery
from jobs.messaging.core.outcomes import FAILED, Event, is_news
from jobs.messaging.core.suppression import TO_OPERATORS
from jobs.messaging.outcomes import queries
from jobs.messaging.suppressions.queries import release, suppress

if TYPE_CHECKING:
    from jobs.messaging.outcomes.queries import Connection

_MOST_FAILURES = 3  # then it is not the events

E = TypeVar("E")

Recorded = Literal["recorded", "repeated", "unknown"]


async def record_all(
    events: Iterable[E], record: Callable[[E], Awaitable[Recorded]]
) -> Counter[str]:
    """Record each, also after one that failed; returns how many came to what.

    Raises the first failure at the end, so that the run is tried again for that one alone.
    """
    counts: Counter[str] = Counter()
    failures: list[Exception] = []
    for event in events:
        try:
            counts[await record(event)] += 1
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
            if len(failures) >= _MOST_FAILURES:
                break
    if failures:
        raise failures[0]
    return counts


async def record_event(ctx: JobContext, event: Event, *, received_at: datetime) -> Recorded:
    """Unknown is what we did not send, or have forgotten: nobody can tell whose address it is."""
    async with ctx.transaction() as connection:
        if not await queries.remember(connection, event.provider, event.event_id, received_at):
            return "repeated"
        sent = await queries.lock_delivery(connection, event)
        if sent is None:
            return "unknown"
        news = event.outcome
        if news is not None and not is_news(news, sent.outcome):
            news = None
        if news is not None or not sent.is_settled:
            await queries.record(connection, sent, event, news=news)
        # No clock but ours: what is said to happen in time to come could never be taken back.
        at = min(event.happened_at, received_at)
        is_own = sent.template in TO_OPERATORS
        if not is_own:
            await _suppress(connection, sent, event, at)
    if sent.is_in_doubt:
        _count_sent(ctx, sent)
    if news is not None:
        ctx.meter.outcome(provider=event.provider, outcome=news)
    if is_own and news in FAILED:
        ctx.log.warning("A notice to an admin came back: see `deskhand notices`", outcome=news)
    return "recorded"


def _count_sent(ctx: JobContext, sent: queries.Sent) -> None:
    """Whoever handed it over did not learn that it was taken, and counted nothing."""
    count = ctx.meter.email if sent.channel == "email" else ctx.meter.sms
    count(provider=sent.provider, template=kind_of_delivery(sent.template), status="sent")


async def _suppress(
    connection: "Connection", sent: queries.Sent, event: Event, at: datetime
) -> None:
    tenants, channel, address = [sent.tenant_id], sent.channel, sent.recipient
    if event.suppresses is not None:
        await suppress(connection, tenants, channel, address, reason=event.suppresses, at=at)
    if event.releases:
        await release(connection, tenants, channel, address, reasons=event.releases, at=at)
