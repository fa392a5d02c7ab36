import json
from pathlib import Path

from clients.sms_file import SmsFile
from tests.clients.texts import NOW, SMS


async def test_the_file_tells_what_the_sms_costs(tmp_path: Path) -> None:
    provider = SmsFile(tmp_path / "a" / "sms", clock=lambda: NOW, sender="+15005550006")

    name = await provider.send(SMS, message_id="<abc123@ours.example>")

    assert name == "abc123_ours.example.json"
    (file,) = (tmp_path / "a" / "sms").iterdir()
    told = json.loads(file.read_text())
    assert (told["encoding"], told["segments"]) == ("UCS-2", 1)
    assert told["sent_at"] == NOW.isoformat()


async def test_no_message_id_leads_out_of_the_directory(tmp_path: Path) -> None:
    provider = SmsFile(tmp_path / "sms", clock=lambda: NOW)

    await provider.send(SMS, message_id="../../etc/passwd")

    assert [path.name for path in tmp_path.iterdir()] == ["sms"]


async def test_a_file_that_was_written_is_found_by_its_message_alone(tmp_path: Path) -> None:
    provider = SmsFile(tmp_path, clock=lambda: NOW)
    name = await provider.send(SMS, message_id="<abc123@ours.example>")

    found = [
        await provider.accepted(SMS.to, message_id=one, since=NOW, until=NOW)
        for one in ("<abc123@ours.example>", "<other@ours.example>")
    ]

    assert found == [[name], []]
