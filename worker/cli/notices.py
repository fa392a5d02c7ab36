"""`deskhand notices`: what admins were told of."""

import json
from dataclasses import asdict
from datetime import datetime

import click

from worker.cli.tools import connected, printable, run_async
from worker.clock import utc_now
from worker.notices.notice import Notice
from worker.notices.queries import page
from worker.notices.undelivered.queries import undelivered


@click.command()
@click.option("--open", "is_open", is_flag=True, help="Only those that are not over.")
@click.option("--kind", type=click.Choice(["failures", "waiting", "unserved"]), help="Only these.")
@click.option("--queue", help="Only of this queue.")
@click.option("--job", help="Only of this job.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def notices(
    *,
    is_open: bool,
    kind: str | None,
    queue: str | None,
    job: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Failures that repeat, queues that hold too much or that nobody serves; newest first."""

    async def command() -> None:
        async with connected() as on:
            found = await page(
                on.db,
                limit=limit,
                kind=kind,  # type: ignore[arg-type]  # click has checked it
                queue=queue,
                job=job,
                is_open=True if is_open else None,
            )
            came_back = await undelivered(on.db, now=utc_now())
        for one in found:
            click.echo(json.dumps(asdict(one), default=str) if as_json else printable(_line(one)))
        if not found and not as_json:
            click.echo("no notices")
        for lost in came_back:
            what = f"{lost.outcome}{f' ({lost.code})' if lost.code else ''}, {_time(lost.at)}"
            said = f"the last notice to {lost.address} did not reach its reader: {what}"
            click.echo(printable(said), err=True)

    run_async(command())


def _line(notice: Notice) -> str:
    given_up = f", {notice.dead} given up on" if notice.dead else ""
    what = {
        "failures": f"{notice.job} failed {notice.count} times ({notice.error_type}){given_up}",
        "waiting": f"{notice.count} runs wait in {notice.queue}, {notice.most} at most",
        "unserved": f"{notice.count} runs wait in {notice.queue}, which no worker serves",
    }[notice.kind]
    over = "open" if notice.closed_at is None else f"over {_time(notice.closed_at)}"
    return f"{notice.notice_id}  {_time(notice.opened_at)}  {over}: {what}"


def _time(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}"
