"""`deskhand preview`: what it lists, prints and writes."""

from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.messaging import queries
from jobs.messaging.core.override import Override
from jobs.messaging.queries import Key
from tests.conftest import Tenant
from tests.worker.test_cli import Cli
from tests.worker.test_cli import cli as cli  # noqa: PLC0414 - a fixture is found by its name here
from worker.clock import utc_now

if TYPE_CHECKING:
    import asyncpg


async def store(db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, key: Key, text: str) -> None:
    async with db.acquire() as connection, connection.transaction():
        override = Override(version=0, text=text)
        await queries.store_override(
            connection, tenant.tenant_id, key, override, by="ayse", at=utc_now()
        )


async def test_messages_are_listed_with_their_channels(cli: Cli) -> None:
    listed = (await cli("preview")).stdout.splitlines()

    assert ["welcome", "email"] in [line.split() for line in listed]


async def test_a_mail_is_printed_as_its_text(cli: Cli) -> None:
    shown = await cli("preview", "welcome", "--language", "tr")

    assert shown.stdout.startswith("Örnek A.Ş.: hoş geldiniz\n\nMerhaba Ayşe Işık,\n")


async def test_a_mail_is_written_as_files_that_mail_programs_open(cli: Cli, tmp_path: Path) -> None:
    told = await cli("preview", "welcome", "--language", "tr", "--out", str(tmp_path / "mails"))

    files = sorted(path.name for path in (tmp_path / "mails").iterdir())
    assert files == ["welcome.tr.eml", "welcome.tr.html", "welcome.tr.txt"]
    assert len(told.stdout.splitlines()) == 3
    eml = (tmp_path / "mails" / "welcome.tr.eml").read_bytes()
    message = message_from_bytes(eml, policy=policy.default)
    assert message["Subject"] == "Örnek A.Ş.: hoş geldiniz"
    assert not message.defects


async def test_a_tenants_own_words_are_shown_in_its_name(
    cli: Cli, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    for text in ("{{ tenant }}: 1", "{{ tenant }}: 2"):
        await store(db, tenant, Key("welcome", "tr", "email"), text)
    asked = ("preview", "welcome", "--language", "tr", "--tenant", str(tenant.tenant_id))

    newest, first = await cli(*asked), await cli(*asked, "--version", "1")

    assert f"\n{tenant.name}: 2\n" in newest.stdout
    assert f"\n{tenant.name}: 1\n" in first.stdout
    gone = await cli(*asked, "--version", "9")
    assert (gone.exit_code, gone.stderr) == (
        3,
        "the tenant has no version 9 of this template\n",
    )


async def test_words_that_do_not_work_are_told(
    cli: Cli, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    await store(db, tenant, Key("welcome", "en", "email"), "{{ amount }}")

    told = await cli("preview", "welcome", "--tenant", str(tenant.tenant_id))

    assert (told.exit_code, told.stderr) == (1, "text: there is no amount\n")


async def test_what_there_is_not_is_told(cli: Cli) -> None:
    unknown = await cli("preview", "nothing")
    nobody = await cli("preview", "welcome", "--tenant", str(uuid4()))
    channel = await cli("preview", "welcome", "--channel", "sms")
    version = await cli("preview", "welcome", "--version", "1")

    assert (unknown.exit_code, unknown.stderr) == (3, "there is no message 'nothing'\n")
    assert (nobody.exit_code, nobody.stderr) == (1, "there is no such tenant any more\n")
    assert (channel.exit_code, version.exit_code) == (2, 2)
    assert "--channel: this message goes by email" in channel.stderr
    assert "say --tenant" in version.stderr


async def test_a_tenants_mail_is_from_whom_the_settings_say(
    cli: Cli, tenant: Tenant, tmp_path: Path
) -> None:
    await cli(
        "preview", "payment_reminder", "--tenant", str(tenant.tenant_id), "--out", str(tmp_path)
    )

    eml = (tmp_path / "payment_reminder.en.eml").read_bytes()
    message = message_from_bytes(eml, policy=policy.default)
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (tenant.name, "no-reply@deskhand.example")
    assert message["List-Unsubscribe"] is None
