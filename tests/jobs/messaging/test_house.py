from dataclasses import replace
from typing import Any

import pytest

from clients.errors import RequestRejectedError
from jobs.kit import OffloadError, discover
from jobs.messaging.catalogue import message
from jobs.messaging.house import write_house_mail
from tests.jobs.messaging.mails import MAIL

discover()
READER = replace(MAIL, locale="en")


async def no_process(*_: Any, **__: Any) -> Any:
    raise OffloadError("nobody asked for one")


async def test_the_product_writes_in_its_own_name_and_asks_for_nothing() -> None:
    values = message("admin_notice").sample("en")

    mail = await write_house_mail(no_process, "admin_notice", "ops@example.com", READER, values)

    assert (mail.to, mail.language, mail.template) == ("ops@example.com", "en", "admin-notice")
    assert (mail.sender, mail.reply_to, mail.unsubscribe_url) == (None, None, None)
    assert mail.subject.startswith(f"{values['service']}: ")
    assert "nsubscribe" not in mail.text + mail.html


async def test_many_notices_are_written_in_a_process() -> None:
    values = message("admin_notice").sample("en")
    many = {**values, "notices": list(values["notices"]) * 50}

    with pytest.raises(OffloadError, match="nobody asked for one"):
        await write_house_mail(no_process, "admin_notice", "ops@example.com", READER, many)


async def test_what_does_not_fill_a_template_is_refused_for_good() -> None:
    values = {"service": "worker-service"}

    with pytest.raises(RequestRejectedError, match=r"message admin_notice: admin_notice\.en"):
        await write_house_mail(no_process, "admin_notice", "ops@example.com", READER, values)
