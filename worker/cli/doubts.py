"""`deskhand doubts`: messages of which nobody will learn whether they were sent."""

import json

import click

from worker.cli.tools import connected, printable, run_async
from worker.deliveries.queries import doubtful
from worker.deliveries.record import Doubt


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def doubts(*, limit: int, as_json: bool) -> None:
    """Messages that were handed over without an answer, by runs that were then cancelled; newest
    first. Whether they arrived only their recipients know: they are not sent again. (Of runs that
    were given up on because of such a message, `deskhand dead` tells.)
    """

    async def command() -> None:
        async with connected() as on:
            found = await doubtful(on.db, limit=limit)
        for one in found:
            click.echo(json.dumps(_fields(one), default=str) if as_json else printable(_line(one)))
        if not found and not as_json:
            click.echo("no messages in doubt")

    run_async(command())


def _line(doubt: Doubt) -> str:
    what = f"{doubt.template} by {doubt.channel} ({doubt.provider})"
    return f"{doubt.claimed_at:%Y-%m-%d %H:%M}  {what}  run {doubt.run_id}"


def _fields(doubt: Doubt) -> dict[str, object]:
    """Without the recipient."""
    return {
        "claimed_at": doubt.claimed_at,
        "tenant_id": doubt.tenant_id,
        "channel": doubt.channel,
        "template": doubt.template,
        "provider": doubt.provider,
        "message_id": doubt.message_id,
        "run_id": doubt.run_id,
    }
