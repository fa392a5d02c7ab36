from pathlib import Path

from clients.mail_file import MailFile
from tests.clients.mails import MAIL, NOW, SENDER


def mail_file(directory: Path) -> MailFile:
    return MailFile(directory, sender=SENDER, clock=lambda: NOW)


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_the_file_is_named_after_the_message(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"

    name = await mail_file(directory).send(MAIL, message_id="<abc123@ours.example>")

    assert name == "abc123_ours.example.eml"
    assert names(directory) == [name]


async def test_no_message_id_leads_out_of_the_directory(tmp_path: Path) -> None:
    directory = tmp_path / "mail"

    await mail_file(directory).send(MAIL, message_id="<../../etc/passwd@ours.example>")

    assert names(tmp_path) == ["mail"]
    assert names(directory) == [".._.._etc_passwd_ours.example.eml"]
