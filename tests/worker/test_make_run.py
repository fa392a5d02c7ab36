"""`deskhand run --demo` in an empty directory: what `make run` shows, from start to end."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from subprocess import Popen
from typing import Any

import asyncpg
import httpx
import openpyxl
import pypdfium2  # type: ignore[import-untyped]  # it has no types
import pytest

from jobs.kit import discover
from tests.ports import free_port
from worker.demo.notices import BROKEN, COUNT

pytestmark = pytest.mark.timeout(150)

NOTICES = COUNT - BROKEN
SENT = (
    "welcome",
    "reminder",
    "proposal",
    "weekly summary",
    "report",
    "sequence",
    "appointment",
    "payment reminder",
)
RUNS = 44
TIMED = [name for name, job in discover().items() if job.schedule is not None]
DONE = "The tour is done"
STARTED = "] Worker started "


@dataclass(frozen=True)
class House:
    """A directory, and the `deskhand run` in it."""

    directory: Path
    port: str
    process: "Popen[bytes]"
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for(self, sentence: str, within: float = 100) -> None:
        deadline = time.monotonic() + within
        while sentence not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def files(self, suffix: str) -> list[Path]:
        """The files that the tour names, of one kind."""
        return [
            Path(path) for path in re.findall(rf"^  (/.*\.{suffix})$", self.output, re.MULTILINE)
        ]

    def press_ctrl_c(self) -> None:
        """A terminal signals the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def processes(self) -> dict[int, str]:
        """All processes that work in the directory, or name it."""
        return {
            int(entry.name): found
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and (found := self._at_work(entry))
        }

    def left_behind(self) -> dict[int, str]:
        """What is still there some seconds after the end: the fork server sees it end, and ends."""
        deadline = time.monotonic() + 5
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.processes()

    def _at_work(self, process: Path) -> str:
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            place = f"{(process / 'cwd').readlink()}"
        except OSError:
            return ""
        return command if str(self.directory) in f"{place} {command}" else ""


def environment(directory: Path, port: str) -> dict[str, str]:
    paths = {"PATH": os.defpath, "HOME": str(directory), "PYTHONPATH": ":".join(sys.path)}
    return {**paths, "PORT": port}


@contextmanager
def running(directory: Path, *options: str) -> Iterator[House]:
    """`deskhand run` in a session of its own, as in a terminal."""
    port, log = str(free_port()), directory.with_suffix(f".{time.monotonic_ns()}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", *options],
            cwd=directory,
            env=environment(directory, port),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    house = House(directory, port, process, log)
    try:
        yield house
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(40)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One that has taken the tour; tests only look at it."""
    with running(tmp_path_factory.mktemp("house"), "--demo") as house:
        house.wait_for(DONE)
        yield house


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty one."""
    made = tmp_path / "empty"
    made.mkdir()
    return made


def test_everything_that_the_tour_names_is_there(house: House) -> None:
    kinds = {suffix: len(house.files(suffix)) for suffix in ("pdf", "xlsx", "csv", "eml", "json")}

    assert kinds == {"pdf": 4, "xlsx": 4, "csv": 4, "eml": 16, "json": 2}
    for suffix in kinds:
        assert all(path.stat().st_size > 300 for path in house.files(suffix))
        assert all(path.is_relative_to(house.directory / "var") for path in house.files(suffix))
    sent = ", ".join(f"{name} sent" for name in SENT)
    assert house.output.count(f": {NOTICES} notices; {sent}\n") == 2


def table_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def pairs(house: House, suffix: str) -> list[tuple[Path, Path]]:
    """Each file of this kind beside the CSV of the same report."""
    tables = {(path.parent, path.name[:24]): path for path in house.files("csv")}
    return [(path, tables[path.parent, path.name[:24]]) for path in house.files(suffix)]


def test_a_pdf_lists_every_notice(house: House) -> None:
    listed = [pair for pair in pairs(house, "pdf") if pair[0].parent.name == "opportunities"]

    assert len(listed) == 2
    for pdf, table in listed:
        with pypdfium2.PdfDocument(pdf) as document:
            text = "\n".join(page.get_textpage().get_text_range() for page in document)
        rows = table_of(table)
        assert re.search(rf"^(İlanlar|Notices)\s+{NOTICES}\s", text, re.MULTILINE)
        numbers = [row[2] for row in rows if row[2]]
        assert len(numbers) > NOTICES / 2
        assert re.findall(r"\b[A-Z]{2}\d{6}R\d{4}\b", text) == numbers


def cell(value: Any, text: str) -> bool:
    """Whether a cell says what the CSV says, which has an apostrophe before formulas."""
    if value is None:
        return text == ""
    if isinstance(value, (int, float)):
        return math.isclose(float(text), value)
    if hasattr(value, "isoformat"):
        return bool(text[:19] == value.isoformat()[: len(text[:19])])
    return bool(text.removeprefix("'" if value[:1] in "=+-@" else "") == value)


def test_a_workbook_has_the_rows_of_the_csv(house: House) -> None:
    for workbook, table in pairs(house, "xlsx"):
        sheet = openpyxl.load_workbook(workbook).worksheets[1]
        found = list(sheet.iter_rows(min_row=2, values_only=True))
        expected = table_of(table)

        assert len(found) == len(expected) > 10
        assert len(expected) == NOTICES or table.parent.name == "analytics"
        for left, right in zip(found, expected, strict=True):
            assert [cell(*both) for both in zip(left, right, strict=True)] == [True] * len(right)


def test_the_mails_can_be_read(house: House) -> None:
    mails = mails_of(house)

    assert {mail["To"].addresses[0].addr_spec for mail in mails} == {
        "ayse.isik@anadolu.example",
        "grace.oneil@blueridge.example",
        "deniz.kaya@example.org",
        "jordan.lee@example.org",
    }
    reports = [path.read_bytes() for path in house.files("pdf")]
    attached = [file for mail in mails for file in mail.iter_attachments()]
    assert len(attached) == 6  # of the reminders, of the reports, and calendars of appointments
    for mail in mails:
        assert not mail.defects
    for file in attached:
        assert isinstance(file, EmailMessage)
        if file.get_content_type() == "application/ics":
            assert b"BEGIN:VEVENT" in file.get_content()
        else:
            assert file.get_content() in reports
    body = one_of(mails, "Hatırlatma: 8 ihale, en yakın son teklif").get_body(("plain",))
    assert body is not None
    assert "Merhaba Ayşe Işık,\r\n" in body.get_content()
    assert "8 ihale teklife açık; süresi en erken dolan başta" in body.get_content()


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("Anadolu Yapı ve Tesisat A.Ş.: hoş geldiniz", ["Merhaba Ayşe Işık,"]),
        ("Welcome to Blue Ridge Contracting LLC", ["Hello Grace O'Neil,"]),
        (
            "Pier 4 fender replacement: In review",
            ["Status: In progress -> In review", "Changed by: Sam Rivera"],
        ),
        (
            "4 No.lu iskele usturmaça yenileme: İncelemede",
            ["Durum: Hazırlanıyor -> İncelemede", "Değiştiren: Can Şahin"],
        ),
        ("Your week at Blue Ridge Contracting LLC: ", ["Closing this week: "]),
        ("Anadolu Yapı ve Tesisat A.Ş., haftanın özeti: ", ["Yeni ihale: "]),
        ("Report: Opportunities", ["You find it attached to this mail."]),
        ("Rapor: İhaleler", ["Rapor bu iletinin ekindedir."]),
        ("Thank you for your interest in Blue Ridge Contracting LLC", ["Hello Jordan Lee,"]),
        ("Payment reminder: invoice ", ["To pay: $480.00", "https://pay.example/i/"]),
        (
            "Anadolu Yapı ve Tesisat A.Ş.: 20",
            ["Ödenecek tutar: ₺12.480,50", "12 gündür gecikmede", "https://odeme.example/i/"],
        ),
        ("Reminder: Site survey on ", ["Site survey", "Asheville office, 12 Haywood Street"]),
        ("Hatırlatma: Keşif, ", ["Keşif", "Moda ofisi, Moda Cad. 12"]),
        ("Anadolu Yapı ve Tesisat A.Ş.: ilginiz için teşekkür ederiz", ["Merhaba Deniz Kaya,"]),
    ],
)
def test_there_is_one_of_each_mail_in_both_languages(
    house: House, subject: str, words: list[str]
) -> None:
    mail = one_of(mails_of(house), subject)

    body = mail.get_body(("plain",))
    assert body is not None
    assert [word for word in words if word not in body.get_content()] == []


def mails_of(house: House) -> list[EmailMessage]:
    read = [message_from_bytes(m.read_bytes(), policy=policy.default) for m in house.files("eml")]
    return [mail for mail in read if isinstance(mail, EmailMessage)]


def one_of(mails: list[EmailMessage], subject: str) -> EmailMessage:
    """The one whose subject begins so."""
    (mail,) = [mail for mail in mails if mail["Subject"].startswith(subject)]
    return mail


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_it_is_well(house: House, path: str) -> None:
    reply = house.get(path)

    assert reply.status_code == 200
    assert reply.json()["status"] == "ok"


def test_the_metrics_have_counted_the_tour(house: House) -> None:
    text = house.get("/metrics").text
    sums: dict[str, float] = {}
    for name, labels, value in re.findall(r"^(worker_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        if any(f'"{job}"' in labels for job in TIMED):
            continue  # the hour may turn in the middle of a tour
        sums[name] = sums.get(name, 0) + float(value)

    assert sums["worker_jobs_processed_total"] == RUNS
    assert sums["worker_job_duration_seconds_count"] == RUNS
    assert sums["worker_job_duration_seconds_sum"] > 0
    assert sums["worker_emails_sent_total"] == 16
    assert sums["worker_sms_sent_total"] == 2
    assert sums["worker_sync_operations_total"] == 6
    assert sums["worker_sync_records_total"] == 2 * COUNT
    # Nothing runs or waits any more.
    assert sums["worker_active_jobs"] == sums["worker_queue_size"] == 0
    for state in ("ready", "deferred", "running"):
        assert f'worker_queue_size{{queue="email",state="{state}"}}' in text


def test_every_line_of_the_log_has_its_format(house: House) -> None:
    lines = [line for line in house.output.splitlines() if line.startswith("[")]

    assert len(lines) > 30
    for line in lines:
        match = re.fullmatch(r"\[[-\dT:.]{23}Z\] \[[A-Z]+\] [^{}]+ (\{.*\})", line)
        assert match is not None
        assert json.loads(match[1])["correlation_id"]
    assert "ayse.isik" not in "\n".join(lines)


def test_a_second_one_in_the_same_directory_is_refused(house: House) -> None:
    with running(house.directory) as second:
        code = second.process.wait(20)

    assert code == 1
    (line,) = second.output.splitlines()
    assert line.startswith(f"another deskhand (pid {house.process.pid}) is using ")
    assert "or set VAR_DIR to another directory" in line
    assert house.get("/health").status_code == 200


def test_short_commands_find_the_private_services(house: House) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "worker", "dead", "list"],
        cwd=house.directory,
        env=environment(house.directory, house.port),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (listed.returncode, listed.stdout) == (0, "no dead letters\n")


def test_ctrl_c_after_the_tour_leaves_nothing_behind(directory: Path) -> None:
    with running(directory, "--demo") as house:
        house.wait_for(DONE)
        at_work = " ".join(house.processes().values())
        assert all(name in at_work for name in ("postgres", "valkey", "forkserver"))

        house.press_ctrl_c()

        assert house.process.wait(40) == 0
    assert house.left_behind() == {}
    assert "Traceback" not in house.output
    assert list((directory / "var/tmp").iterdir()) == []


def test_two_processes_take_one_tour_and_leave_nothing_behind(directory: Path) -> None:
    with running(directory, "--demo", "--processes", "2") as house:
        house.wait_for(DONE)
        assert house.output.count(STARTED) == 2
        assert house.output.count("PostgreSQL is up") == house.output.count(DONE) == 1
        assert house.get("/health/ready").status_code == 200

        house.press_ctrl_c()

        assert house.process.wait(40) == 0
    assert house.left_behind() == {}
    assert "Traceback" not in house.output
    assert list((directory / "var/tmp").iterdir()) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_the_tour_leaves_nothing_behind(
    directory: Path, signum: signal.Signals
) -> None:
    with running(directory, "--demo") as house:
        house.wait_for("Run succeeded")
        assert "worker tour" in " ".join(house.processes().values())

        house.process.send_signal(signum)

        assert house.process.wait(40) == 0
    assert house.left_behind() == {}
    assert DONE not in house.output


@pytest.mark.parametrize("sentence", ["PostgreSQL is up", "migrated: ", STARTED])
def test_kill_at_any_time_leaves_nothing_behind(directory: Path, sentence: str) -> None:
    with running(directory, "--demo") as house:
        house.wait_for(sentence)

        house.process.kill()

        house.process.wait(10)
    assert house.left_behind() == {}


async def test_a_second_start_keeps_the_data(directory: Path) -> None:
    with running(directory, "--demo") as first:
        first.wait_for(DONE)
        first.press_ctrl_c()
        assert first.process.wait(40) == 0

    with running(directory) as second:
        second.wait_for(STARTED)
        counts = await counted(second)

    assert counts == {"opportunities": 2 * NOTICES, "deliveries": 18, "job_runs": RUNS}
    assert "migrated: " in first.output
    assert "migrated: " not in second.output


async def counted(house: House) -> dict[str, int]:
    (url,) = re.findall(r"postgresql://\S+", house.output)
    connection = await asyncpg.connect(url)
    tables = ("opportunities", "deliveries", "job_runs where not job = any($1)")
    counts = {
        table.split()[0]: await connection.fetchval(
            f"select count(*) from {table}",  # noqa: S608 - names from above
            *([TIMED] if "$1" in table else []),
        )
        for table in tables
    }
    await connection.close()
    return counts


def test_the_tour_can_be_taken_again(directory: Path) -> None:
    with running(directory, "--demo") as first:
        first.wait_for(DONE)
    with running(directory, "--demo") as second:
        second.wait_for(DONE, within=15)

    sent = ", ".join(f"{name} already_sent" for name in SENT)
    assert second.output.count(f" notices; {sent}\n") == 2
