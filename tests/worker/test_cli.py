"""`deskhand …`: what the commands print, and their exit codes."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from click.testing import CliRunner, Result

from clients.errors import RequestRejectedError
from jobs.kit import JobContext, Payload, job
from tests.ports import free_port
from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, Ledgered, StartWorker, until
from tests.worker.test_process import empty_database, exists
from worker import __version__
from worker.cli import main
from worker.engine.worker import Worker
from worker.migrate import shipped
from worker.settings import Settings
from worker.sidecar.access.passwords import Scrypt

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

REMINDER = "email.send_opportunity_reminder"
NOBODY = "00000000-0000-4000-8000-000000000000"
AWAY = "postgresql://app@127.0.0.1:1/app"


class Parcel(Payload):
    parcel_id: int
    contents: str
    note: str
    email: str


@job("testing.post_parcel", queue="default", sensitive=("contents",))
async def post_parcel(ctx: JobContext, payload: Parcel) -> None:
    raise RequestRejectedError("there is no such street")


PARCEL = {
    "parcel_id": 7,
    "contents": "a surprise",
    "note": "ring ayse.isik@anadolu.example first",
    "email": "not an address",
}
PERSONAL = ("a surprise", "ayse.isik@anadolu.example", "not an address")


class Cli(Protocol):
    async def __call__(self, *arguments: str, **settings: str | None) -> Result: ...


@pytest.fixture
def cli(database_url: str, redis_url: str, tmp_path: Path) -> Cli:
    """A command in a thread; `settings` add to, or with None take from, the environment."""
    known = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "VAR_DIR": str(tmp_path)}

    async def call(*arguments: str, **settings: str | None) -> Result:
        return await asyncio.to_thread(
            CliRunner().invoke, main, arguments, env={**known, **settings}
        )

    return call


@pytest.fixture
async def parcel(cli: Cli, worker: Worker, ledgered: Ledgered) -> str:
    """The id of a dead letter with personal data."""
    enqueued = await cli("enqueue", "testing.post_parcel", "--json", json.dumps(PARCEL))
    letter = await ledgered.dead_letter(enqueued.stdout.strip())
    return str(letter["dead_letter_id"])


async def test_it_tells_its_version(cli: Cli) -> None:
    result = await cli("--version")

    assert (result.exit_code, result.stdout) == (0, f"deskhand, version {__version__}\n")


async def test_jobs_is_a_table_with_all_that_can_be_enqueued(cli: Cli) -> None:
    result = await cli("jobs")

    assert result.exit_code == 0
    names = {"documents.generate_report", REMINDER, "sam_gov.import_opportunities"}
    assert names <= set(re.findall(r"[a-z_]+\.[a-z_]+", result.stdout))


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "sentence"),
    [
        (["jobs"], {}, 0, "sam_gov.import_opportunities"),
        (["enqueue", REMINDER, "--json", '{"user_id": "me"}'], {}, 1, "user_id: "),
        (["dead", "discard", "1"], {}, 2, "--reason"),
        (["enqueue", REMINDER, "--json", "{"], {}, 2, "--json is not JSON"),
        (["enqueue", REMINDER, "--json", "[1]"], {}, 2, "--json is not a JSON object"),
        (["prune", "--days", "-1"], {}, 2, "--days"),
        (["nothing"], {}, 2, "No such command"),
        (["enqueue", "email.send_opportunity_remindr"], {}, 3, f"did you mean '{REMINDER}'"),
        (["dead", "show", "99"], {}, 3, "there is no dead letter 99"),
        (["dead", "replay", "99"], {}, 3, "there is no dead letter 99"),
        (["dead", "discard", "99", "--reason", "r"], {}, 3, "there is no dead letter 99"),
        (["dead", "replay"], {}, 2, "say which: by ids, by a filter, or --all"),
        (["dead", "discard", "--reason", "r"], {}, 2, "say which"),
        (["dead", "purge"], {}, 2, "say which"),
        (["dead", "purge", "--all", "--queue", "email"], {}, 2, "contradict"),
        (["dead", "purge", "--until", "1d", "--older-than", "2d"], {}, 2, "say the same"),
        (["dead", "replay", "1", "--queue", "email"], {}, 2, "ids or a filter, not both"),
        (["dead", "replay", "--all", "--pace", "0"], {}, 2, "--pace"),
        (["dead", "list", "--since", "soon"], {}, 2, "'soon' is no instant"),
        (["dead", "list", "--text", "ab"], {}, 2, "text has 3 to 200 characters"),
        (["dead", "list", "--before", "7"], {}, 2, "no place in a list"),
        (["dead", "groups", "--before", "7"], {}, 2, "no place in a list"),
        (["dead", "list"], {"DATABASE_URL": AWAY}, 4, "a service is away"),
        (["migrate"], {"DATABASE_URL": AWAY}, 4, "a service is away"),
        (["dead", "list"], {"DATABASE_URL": "", "REDIS_URL": ""}, 4, "set DATABASE_URL"),
        (["health"], {"PORT": "1"}, 4, "no answer on port 1"),
        (["dead", "list"], {"LOG_LEVEL": "loud"}, 78, "LOG_LEVEL: "),
        (["config", "check"], {"EMAIL_PROVIDER": "smtp"}, 78, "SMTP_HOST: EMAIL_PROVIDER=smtp"),
    ],
)
async def test_an_exit_code_says_what_went_wrong(
    cli: Cli, arguments: list[str], settings: dict[str, str], code: int, sentence: str
) -> None:
    result = await cli(*arguments, **settings)

    assert result.exit_code == code
    assert sentence in (result.stderr if code else result.stdout)
    assert "Traceback" not in result.output


async def test_enqueue_waits_for_the_result(cli: Cli, worker: Worker, diary: Path) -> None:
    payload = json.dumps({"diary": str(diary)})

    result = await cli("enqueue", testing_jobs.add_line.name, "--json", payload, "--wait", "10")

    run_id, line = result.stdout.splitlines()
    assert result.exit_code == 0
    assert len(run_id) == 32
    assert json.loads(line)["result"]["lines"] == 1


@pytest.mark.parametrize(
    ("name", "wait", "sentence"),
    [
        ("testing.be_rejected", "10", "failed: RequestRejectedError: the address does not exist"),
        ("testing.cancel", "10", "cancelled: paid already"),
        ("testing.be_throttled", "0.3", "it did not end within 0.3 s; it goes on"),
    ],
)
async def test_enqueue_says_how_else_it_ended(
    cli: Cli, worker: Worker, diary: Path, name: str, wait: str, sentence: str
) -> None:
    payload = json.dumps({"diary": str(diary)})

    result = await cli("enqueue", name, "--json", payload, "--wait", wait)

    assert result.exit_code == 1
    assert sentence in result.stderr.splitlines()  # the worker's own lines come in between


async def test_enqueue_refuses_what_is_queued_already(cli: Cli) -> None:
    order = ("enqueue", "testing.ship_order", "--json", '{"order_id": 1}')
    assert (await cli(*order)).exit_code == 0

    again = await cli(*order)

    assert again.exit_code == 1
    assert "exists already" in again.stderr


async def test_migrate_applies_once_what_is_pending(cli: Cli, database_url: str) -> None:
    names = [migration.name for migration in shipped()]
    async with empty_database(database_url) as url:
        before = await cli("migrate", "--status", DATABASE_URL=url)
        both = await asyncio.gather(*(in_process("migrate", DATABASE_URL=url) for _ in range(2)))
        after = await cli("migrate", "--status", DATABASE_URL=url)

    assert before.stdout.splitlines() == [f"pending: {name}" for name in names]
    lines = sorted(line for _, output in both for line in output.splitlines())
    assert lines == sorted(["the database is up to date", *(f"migrated: {n}" for n in names)])
    assert (after.exit_code, after.stdout) == (0, "the database is up to date\n")


async def in_process(*arguments: str, cwd: Path | None = None, **settings: str) -> tuple[int, str]:
    """`python -m worker` somewhere else: exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", *arguments),
        env={"PYTHONPATH": ":".join(sys.path), "REDIS_URL": "redis://127.0.0.1:1", **settings},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_migrate_needs_no_redis(cli: Cli) -> None:
    result = await cli("migrate", REDIS_URL=None)

    assert (result.exit_code, result.stdout) == (0, "the database is up to date\n")


async def test_dead_letters_are_listed(cli: Cli, parcel: str) -> None:
    listed, elsewhere = await cli("dead", "list"), await cli("dead", "list", "--queue", "email")
    as_json = await cli("dead", "list", "--job", "testing.post_parcel", "--json")

    assert "testing.post_parcel" in listed.stdout
    assert "rejected" in listed.stdout
    assert elsewhere.stdout == "no dead letters\n"
    assert json.loads(as_json.stdout)["dead_letter_id"] == int(parcel)
    assert not [value for value in PERSONAL if value in listed.stdout + as_json.stdout]


@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_show_hides_what_is_personal(cli: Cli, parcel: str, options: tuple[str, ...]) -> None:
    shown = await cli("dead", "show", parcel, *options)
    in_full = await cli("dead", "show", parcel, "--payload", *options)

    assert shown.exit_code == 0
    assert "there is no such street" in shown.stdout
    assert "in post_parcel" in shown.stdout  # the attempt's traceback
    assert "parcel_id" in shown.stdout
    assert not [value for value in PERSONAL if value in shown.stdout]
    assert not [value for value in PERSONAL if value not in in_full.stdout]


async def test_a_replay_runs_it_again_and_only_once(
    cli: Cli, parcel: str, ledgered: Ledgered
) -> None:
    first, second = await cli("dead", "replay", parcel), await cli("dead", "replay", parcel)

    assert first.stdout == f"{parcel} runs again as replay:{parcel}\n"
    assert second.exit_code == 3
    assert "replayed or discarded before" in second.stderr
    assert (await ledgered.dead_letter(f"replay:{parcel}"))["payload"]
    assert parcel in (await cli("dead", "list", "--status", "replayed")).stdout


async def test_a_discarded_one_keeps_the_reason(cli: Cli, parcel: str) -> None:
    done = await cli("dead", "discard", parcel, "--reason", "moved away")

    assert (done.exit_code, done.stdout) == (0, f"{parcel} discarded\n")
    assert (await cli("dead", "list")).stdout == "no dead letters\n"
    assert "moved away" in (await cli("dead", "show", parcel)).stdout
    assert (await cli("dead", "replay", parcel)).exit_code == 3


async def test_prune_says_what_goes_and_does_it(cli: Cli, worker: Worker, parcel: str) -> None:
    everything = ("prune", "--failed", "0", "--queue", "default")

    nothing, dry = await cli("prune"), await cli(*everything, "--dry-run")
    done, again = await cli(*everything), await cli(*everything, "--dry-run")

    assert nothing.stdout == again.stdout == "nothing to prune\n"
    lines = ["default: 1 dead letters", "default: 1 dead runs"]
    assert dry.stdout.splitlines() == [f"would go: {line}" for line in lines]
    assert done.stdout.splitlines() == [lines[0], f"{lines[1]}, 1 attempts"]
    assert (await cli("dead", "show", parcel)).exit_code == 3


async def test_health_follows_the_worker(
    cli: Cli, start_worker: StartWorker, enqueue: Enqueue, diary: Path
) -> None:
    port = str(free_port())
    assert (await cli("health", PORT=port)).exit_code == 4
    worker = await start_worker(port=int(port), shutdown_grace=2)
    await enqueue(testing_jobs.nap.name, seconds=60)
    await until(lambda: exists(diary))

    well, alive = await cli("health", PORT=port), await cli("health", "live", PORT=port)
    worker.handle_sig(signal.SIGTERM)

    assert well.exit_code == alive.exit_code == 0
    assert json.loads(well.stdout)["status"] == "ok"
    assert await until(lambda: is_draining(cli, port))
    assert (await cli("health", "live", PORT=port)).exit_code == 0


async def is_draining(cli: Cli, port: str) -> bool:
    return (await cli("health", PORT=port)).exit_code == 1


async def test_health_understands_an_ipv6_host(cli: Cli) -> None:
    result = await cli("health", HOST="::1", PORT="1")

    assert (result.exit_code, "no answer on port 1" in result.stderr) == (4, True)


async def test_config_check_says_what_is_off(cli: Cli) -> None:
    result = await cli("config", "check", DATABASE_URL=None)

    assert result.exit_code == 0
    assert "DATABASE_URL is not set: a private PostgreSQL" in result.stdout
    assert "REDIS_URL is not set" not in result.stdout
    assert result.stdout.endswith("the settings are valid\n")


async def test_config_check_says_what_customers_would_miss(cli: Cli) -> None:
    result = await cli("config", "check", EMAIL_PROVIDER="smtp", SMTP_HOST="relay.example")

    assert result.exit_code == 0
    assert "PUBLIC_URL is not set: the links in mails, unsubscribing too, lead to" in result.stdout


async def test_config_check_names_every_wrong_setting_and_no_value(cli: Cli) -> None:
    wrong = {"PORT": "much", "WORKER_QUEUES": "none", "SENTRY_DSN": "s3cret"}

    result = await cli("config", "check", **wrong)

    assert result.exit_code == 78
    names = [line.partition(": ")[0] for line in result.stderr.splitlines()[1:]]
    assert sorted(names) == sorted(wrong)
    assert "s3cret" not in result.output


@pytest.mark.parametrize("secret", ["s3cret" * 8, "k3y:" + "s3cret" * 8, "http://" + "s3cret" * 8])
async def test_config_show_hides_every_secret(cli: Cli, secret: str) -> None:
    fields = [n.upper() for n, f in Settings.model_fields.items() if "SecretStr" in str(f)]
    urls = {"DATABASE_URL": "postgresql", "REDIS_URL": "redis", "SENTRY_DSN": "https"}
    values: dict[str, Any] = {name: secret for name in fields if name not in urls}
    values |= {name: f"{scheme}://u:s3cret@host/0" for name, scheme in urls.items()}
    password = Scrypt.of("s3crets3cret")
    values["ALERT_WEBHOOK_URL"] = "https://hooks.example.com/s3crets3cret"
    values["ALERT_WEBHOOK_SECRET"] = "whsec_s3crets3crets3crets3crets3crets3crets3crets3cret"
    values["ADMIN_USERS"] = f"ada:viewer:{password}"

    names = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "SMTP_USERNAME": "apikey"}
    result = await cli("config", "show", **names, **values)

    assert result.exit_code == 0
    assert len(fields) >= 8
    assert "DATABASE_URL=postgresql://***@host/0" in result.stdout
    assert "s3cret" not in result.stdout
    assert str(password) not in result.stdout


async def test_the_example_names_every_setting_with_its_default(tmp_path: Path) -> None:
    bare, filled = tmp_path / "bare", tmp_path / "filled"
    bare.mkdir()
    filled.mkdir()
    _, example = await in_process("config", "example", cwd=bare)
    assert re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE) == [
        name.upper() for name in Settings.model_fields if name != "schedules"
    ]
    (filled / ".env").write_text(re.sub(r"^#([A-Z_]+=)", r"\1", example, flags=re.MULTILINE))

    shown = await in_process("config", "show", cwd=bare)

    assert shown[0] == 0
    assert await in_process("config", "show", cwd=filled) == shown


async def test_an_env_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=8777\nLOG_LEVEL=debug\n")

    _, shown = await in_process("config", "show", cwd=tmp_path, LOG_LEVEL="error")

    assert {"PORT=8777", "LOG_LEVEL=error"} <= set(shown.splitlines())
