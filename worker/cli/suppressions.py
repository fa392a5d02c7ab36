"""`deskhand suppressions list|add|lift`: who is not written to any more."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import click

from jobs.messaging.core.channels import CHANNELS, Channel
from jobs.messaging.core.suppression import is_own_wish
from worker import __version__, audit
from worker import suppressions as known
from worker.audit import Entry
from worker.cli.tools import FAILED, NOT_FOUND, Connections, connected, fail, printable, run_async
from worker.clock import utc_now
from worker.suppressions import ConsentNeededError, Suppressed
from worker.telemetry.redaction import MASK

if TYPE_CHECKING:
    import asyncpg

_CHANNEL = click.option("--channel", type=click.Choice(CHANNELS), help="email or sms.")
_TENANT = click.option("--tenant", "tenant_id", type=click.UUID, help="Only of this tenant.")
_REASON = click.option("--reason", required=True, help="Why; kept in the audit log.")


@click.group()
def suppressions() -> None:
    """Who is not written to any more; have somebody left alone, or written to again."""


@suppressions.command("list")
@_TENANT
@_CHANNEL
@click.option("--address", help="In whichever spelling; a number with its country's code.")
@click.option("--because", help="Only for this reason, as in bounced.")
@click.option("--before", type=click.IntRange(min=1), help="Only with ids below: the next page.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--reveal", is_flag=True, help="Show the addresses as they are.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(
    *,
    tenant_id: UUID | None,
    channel: Channel | None,
    address: str | None,
    because: str | None,
    before: int | None,
    limit: int,
    reveal: bool,
    as_json: bool,
) -> None:
    """All of them, newest first."""

    async def command() -> None:
        async with connected() as on:
            found = await known.page(
                on.db,
                before=before,
                limit=limit,
                tenant_id=tenant_id,
                channel=channel,
                addresses=None if address is None else known.spellings_of(channel, address),
                reason=because,
            )
        for one in found:
            record = _record(one, is_revealed=reveal)
            click.echo(json.dumps(record, default=str) if as_json else printable(_line(record)))
        if not found and not as_json:
            click.echo("no suppressions")

    run_async(command())


@suppressions.command()
@click.argument("address")
@click.option("--tenant", "tenant_id", type=click.UUID, required=True, help="Who wrote there.")
@click.option("--channel", type=click.Choice(CHANNELS), required=True, help="email or sms.")
@_REASON
@click.option(
    "--requested", is_flag=True, help="The person asked for it: only their consent lifts it."
)
def add(*, address: str, tenant_id: UUID, channel: Channel, reason: str, requested: bool) -> None:
    """Have nothing more of a tenant's sent to ADDRESS; a number has its country's code."""
    try:
        which = known.reason_for(tenant_id, channel, address, is_requested=requested)
    except ValueError as error:
        fail(f"ADDRESS {error}", 2)

    async def command() -> None:
        async with connected() as on:
            found_id = await known.id_for(on.db, which)
            targets = (str(tenant_id), str(found_id), channel)
            async with _audited(on, "suppression.add", targets, reason) as connection:
                added = await known.add(connection, which, suppression_id=found_id, at=utc_now())
                if added is None:
                    fail("there is no such tenant", NOT_FOUND)
        one, is_new = added
        click.echo(f"{one.suppression_id} {'added' if is_new else 'was there'}: {one.reason}")

    run_async(command())


@suppressions.command()
@click.argument("suppression_id", type=click.IntRange(min=1))
@_REASON
@click.option("--consented", is_flag=True, help="The person has asked to be written to again.")
def lift(*, suppression_id: int, reason: str, consented: bool) -> None:
    """Let messages be sent there again, as far as this reason goes.

    What the person said themselves (unsubscribed, STOP, a complaint) takes --consented.
    """

    async def command() -> None:
        async with connected() as on:
            targets = (str(suppression_id),)
            async with _audited(on, "suppression.lift", targets, reason) as connection:
                try:
                    lifted = await known.lift(connection, suppression_id, is_consented=consented)
                except ConsentNeededError as error:
                    fail(f"{suppression_id}: {error}", FAILED)
                if lifted is None:
                    fail(f"there is no suppression {suppression_id}", NOT_FOUND)
        still = f"; still {', '.join(lifted.still)}" if lifted.still else ""
        click.echo(f"{suppression_id} lifted: {lifted.suppression.reason}{still}")

    run_async(command())


@asynccontextmanager
async def _audited(
    on: Connections, action: str, targets: tuple[str, ...], reason: str
) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
    """A transaction with the change and its entry in the audit log."""
    entry = Entry(
        principal="cli",
        role="admin",
        credential="local",
        tenant_id=None,
        action=action,
        targets=targets,
        filter=None,
        reason=reason[:1000],
        ip="",
        user_agent=f"deskhand/{__version__}",
        request_id=uuid4().hex,
    )
    async with on.db.acquire() as connection, connection.transaction():
        audit_id = await audit.add(connection, entry, "begun")
        yield connection
        await audit.end(connection, audit_id, "done")


def _record(one: Suppressed, *, is_revealed: bool) -> dict[str, Any]:
    record = asdict(one) | {"is_own_wish": is_own_wish(one.reason)}
    return record if is_revealed else record | {"address": MASK}


def _line(record: dict[str, Any]) -> str:
    return (
        f"{record['suppression_id']}  {record['created_at']:%Y-%m-%d %H:%M}  {record['tenant_id']}"
        f"  {record['channel']}  {record['address']}  {record['reason']}"
    )
