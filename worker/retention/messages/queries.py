"""The statements of retention on what messages leave behind: most of it names people.

Why it may go at all, when it is old enough:

deliveries   A row keeps a message from being sent twice, so it has to outlive whatever may send it
             again: attempts (hours), a dead letter that waits to be replayed (KEEP_DAYS), and the
             letter of that replay (as long once more). What stays due for longer remembers it by
             itself, in the transaction that says so of the delivery: users.welcomed_at,
             enrolment_steps, dunning_notices, appointments. Its provider tells of it for days, and
             of complaints for months; behind those that come later is the provider's own list. One
             in doubt stays: nobody knows yet what to say of it.
SMS          Whoever answers STOP names a number of ours, and no tenant: these rows know who wrote.
             They are a way out, and stay as long as links do.
replies      They end the sequences that began before them, so one that is under way keeps its own.
enrolments   Those that are over are history, and keep a replay of the run that began them from
             beginning anew.
releases     That somebody wants messages again holds against older events, which may still come, or
             be replayed.
links        From the last mail that showed one: people keep mails (CAN-SPAM asks for 30 days).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_ROWS = 2000  # that a statement deletes, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Rows that go by age. The words are this module's own, and no parameters."""

    name: str
    kept_as: Literal["messages", "sms", "links"]
    table: str
    key: str
    instant: str
    condition: str

    @property
    def old(self) -> str:
        return f"from {self.table} as old where {self.instant} < $1 and {self.condition}"


KINDS = (
    Kind(
        name="deliveries",
        kept_as="messages",
        table="deliveries",
        key="tenant_id, key, recipient",
        instant="claimed_at",
        condition="channel <> 'sms' and status in ('sent', 'suppressed', 'rejected')",
    ),
    Kind(
        name="deliveries of SMS",
        kept_as="sms",
        table="deliveries",
        key="tenant_id, key, recipient",
        instant="claimed_at",
        condition="channel = 'sms' and status in ('sent', 'suppressed', 'rejected')",
    ),
    Kind(
        name="replies",
        kept_as="messages",
        table="contact_replies",
        key="tenant_id, contact_id, channel, replied_at",
        instant="replied_at",
        condition="""
            not exists (select from enrolments
                         where (enrolments.tenant_id, enrolments.contact_id)
                               = (old.tenant_id, old.contact_id)
                           and state in ('active', 'paused') and started_at <= old.replied_at)
        """,
    ),
    Kind(
        name="enrolments that are over",
        kept_as="messages",
        table="enrolments",
        key="enrolment_id",
        instant="ended_at",
        condition="state in ('completed', 'ended')",
    ),
    Kind(
        name="lifted suppressions",
        kept_as="messages",
        table="suppression_releases",
        key="tenant_id, channel, address, reason",
        instant="released_at",
        condition="true",
    ),
    Kind(
        name="unsubscribe links",
        kept_as="links",
        table="unsubscribe_links",
        key="token",
        instant="shown_at",
        condition="true",
    ),
)


async def count(connection: Connection, kind: Kind, before: datetime) -> int:
    """How many rows `delete` would take."""
    number: int = await connection.fetchval(f"select count(*) {kind.old}", before)
    return number


async def delete(connection: Connection, kind: Kind, before: datetime) -> int:
    """Delete what is older, in statements of bounded size; returns how many rows."""
    total = 0
    while True:
        deleted: int = await connection.fetchval(
            f"""
            with page as materialized (
                select {kind.key} {kind.old}
                 order by {kind.instant} limit {_ROWS} for update skip locked
            ), gone as (
                delete from {kind.table} where ({kind.key}) in (select {kind.key} from page)
                returning 1
            )
            select count(*) from gone
            """,  # noqa: S608 - own words
            before,
        )
        total += deleted
        if deleted < _ROWS:
            return total
