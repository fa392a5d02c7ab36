"""`deskhand preview`: how messages look, in files and on the terminal."""

from datetime import datetime
from pathlib import Path
from typing import cast
from uuid import UUID

import click

from clients.errors import RequestRejectedError
from clients.mail import Mail, Sender
from clients.mime import written_message
from clients.sms_text import length
from jobs.kit import OffloadError, discover
from jobs.messaging import queries
from jobs.messaging.catalogue import Message, UnknownTemplateError, message, messages
from jobs.messaging.core.channels import CHANNELS, Channel
from jobs.messaging.core.recipient import LOCALES
from jobs.messaging.previewing import LINKS, SOMEBODY, Preview, nobodys_profile, preview, problem_of
from jobs.messaging.profile import profile_of
from jobs.messaging.rendering import RenderingError
from jobs.messaging.sandbox import OverrideError
from worker.cli.tools import NOT_FOUND, connected, fail, printable, run_async, settings_or_exit
from worker.clock import utc_now
from worker.offload import Offloader


@click.command(name="preview")
@click.argument("name", required=False)
@click.option("--language", type=click.Choice(LOCALES), default="en", show_default=True)
@click.option("--channel", type=click.Choice(CHANNELS), help="Email, unless it goes by SMS alone.")
@click.option("--tenant", type=click.UUID, help="In this tenant's name, and its own words.")
@click.option("--version", type=click.IntRange(1), help="This one of the tenant's own versions.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write a mail's .html, .txt and .eml; else its text is printed.",
)
@click.option("--open", "is_opened", is_flag=True, help="Show the HTML in a browser.")
def preview_message(
    *,
    name: str | None,
    language: str,
    channel: str | None,
    tenant: UUID | None,
    version: int | None,
    out: Path | None,
    is_opened: bool,
) -> None:
    """Show a message as it would be sent, filled for somebody made up; without a name, list them.

    Without --tenant it needs no database, and shows the product's own words.
    """
    discover()
    if name is None:
        for one in messages():
            click.echo(f"{one.name:<28}{', '.join(sorted(one.channels))}")
        return
    if version is not None and tenant is None:
        raise click.UsageError("--version is of a tenant: say --tenant")
    if is_opened and out is None:
        raise click.UsageError("--open shows a file: say --out where it goes")
    try:
        declared = message(name)
    except UnknownTemplateError as error:
        fail(str(error), NOT_FOUND)
    by = cast("Channel", channel or ("email" if "email" in declared.channels else "sms"))
    for option, problem in problem_of(declared, language, by).items():
        raise click.UsageError(f"--{option}: {problem}")

    async def command() -> None:
        try:
            made = await _made(declared, language, by, tenant, version)
        except (OverrideError, OffloadError, RenderingError, RequestRejectedError) as error:
            fail(printable(str(error)))
        _show(made, f"{name}.{language}", out, utc_now())
        if is_opened and out is not None and made.mail is not None:
            click.launch(str(out / f"{name}.{language}.html"))

    run_async(command())


async def _made(
    declared: Message, language: str, channel: Channel, tenant: UUID | None, version: int | None
) -> Preview:
    profile, override, sender, links = nobodys_profile(language), None, SOMEBODY, LINKS
    if tenant is not None:
        settings = settings_or_exit()
        sender = Sender.parse(settings.email_from)
        links = str(settings.public_url or settings.sidecar_url).rstrip("/")
        async with connected() as on:
            profile = await profile_of(on.db, tenant)
            key = queries.Key(declared.name, language, channel)
            found = await queries.version(on.db, tenant, key, version)
        if found is None and version is not None:
            fail(f"the tenant has no version {version} of this template", NOT_FOUND)
        override = None if found is None else found.override
    return await preview(
        declared,
        language=language,
        channel=channel,
        profile=profile,
        override=override,
        sender=sender,
        offload=Offloader(),
        links=links,
        written_at=utc_now(),
    )


def _show(made: Preview, stem: str, out: Path | None, now: datetime) -> None:
    if made.sms is not None:
        cost = length(made.sms.body)
        click.echo("\n".join(map(printable, made.sms.body.splitlines())))
        click.echo(f"({cost.units} units of {cost.encoding}, segments: {cost.segments})", err=True)
    elif made.mail is not None and out is not None:
        _write(made.mail, stem, out, now)
    elif made.mail is not None:
        click.echo(printable(made.mail.subject) + "\n")
        click.echo("\n".join(map(printable, made.mail.text.splitlines())))


def _write(mail: Mail, stem: str, out: Path, now: datetime) -> None:
    out.mkdir(parents=True, exist_ok=True)
    sender = mail.sender or SOMEBODY
    contents = {
        "html": mail.html.encode(),
        "txt": mail.text.encode(),
        "eml": written_message(mail, sender, message_id=f"<preview@{sender.domain}>", date=now),
    }
    for suffix, content in contents.items():
        path = out / f"{stem}.{suffix}"
        path.write_bytes(content)
        click.echo(str(path))
