"""`deskhand suppressions`: what it prints, and what it refuses."""

import json
from typing import TYPE_CHECKING

from tests.conftest import Tenant
from tests.worker.test_cli import Cli
from tests.worker.test_cli import cli as cli  # noqa: PLC0414 - a fixture is found here

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_somebody_is_left_alone_and_written_to_again(
    cli: Cli, db: "Db", tenant: Tenant
) -> None:
    whose = ("--tenant", str(tenant.tenant_id), "--channel", "email", "--reason", "called us")
    assert (await cli("suppressions", "list")).stdout == "no suppressions\n"

    added = await cli("suppressions", "add", "Zeynep@MÜNCHEN.example", *whose)
    again = await cli("suppressions", "add", "zeynep@münchen.example", *whose)
    wish = await cli("suppressions", "add", "zeynep@münchen.example", *whose, "--requested")

    one, two = (told.stdout.split()[0] for told in (added, wish))
    assert added.stdout == f"{one} added: blocked\n"
    assert again.stdout == f"{one} was there: blocked\n"
    assert wish.stdout == f"{two} added: unsubscribed\n"
    lifted = await cli("suppressions", "lift", one, "--reason", "paid")
    refused = await cli("suppressions", "lift", two, "--reason", "paid")
    assert lifted.stdout == f"{one} lifted: blocked; still unsubscribed\n"
    assert (refused.exit_code, "said so themselves" in refused.stderr) == (1, True)
    done = await cli("suppressions", "lift", two, "--reason", "signed up", "--consented")
    assert done.stdout == f"{two} lifted: unsubscribed\n"
    gone = await cli("suppressions", "lift", two, "--reason", "signed up", "--consented")
    assert (gone.exit_code, gone.stderr) == (3, f"there is no suppression {two}\n")
    told = await db.fetch("select action, outcome, principal, reason, targets from audit_log")
    assert [(row["action"], row["reason"]) for row in told] == [
        *[("suppression.add", "called us")] * 3,
        ("suppression.lift", "paid"),
        ("suppression.lift", "signed up"),
    ]
    assert {(row["outcome"], row["principal"]) for row in told} == {("done", "cli")}
    assert "zeynep" not in str([tuple(row) for row in told])


async def test_the_list_has_addresses_only_when_asked(cli: Cli, db: "Db", tenant: Tenant) -> None:
    for address, reason in (("a@b.example", "bounced"), ("c@d.example", "complained")):
        await db.execute(
            "insert into suppressions (tenant_id, channel, address, reason)"
            " values ($1, 'email', $2, $3)",
            tenant.tenant_id,
            address,
            reason,
        )

    plain = (await cli("suppressions", "list")).stdout.splitlines()
    one = await cli("suppressions", "list", "--address", "A@B.example", "--json", "--reveal")
    next_page = await cli("suppressions", "list", "--before", plain[0].split()[0], "--limit", "1")
    because = await cli("suppressions", "list", "--because", "complained")

    assert [line.split()[-1] for line in plain] == ["complained", "bounced"]
    assert "@" not in "".join(plain)
    record = json.loads(one.stdout)
    assert (record["address"], record["is_own_wish"]) == ("a@b.example", False)
    assert next_page.stdout.splitlines() == plain[1:]
    assert because.stdout.splitlines() == plain[:1]


async def test_what_is_no_address_or_tenant_is_refused(cli: Cli, tenant: Tenant) -> None:
    whose = ("--channel", "sms", "--reason", "x", "--tenant")

    local = await cli("suppressions", "add", "0532 123 45 67", *whose, str(tenant.tenant_id))
    nobody = await cli(
        "suppressions", "add", "+905321234567", *whose, "00000000-0000-4000-8000-000000000000"
    )

    assert (local.exit_code, "country's code" in local.stderr) == (2, True)
    assert (nobody.exit_code, nobody.stderr) == (3, "there is no such tenant\n")
