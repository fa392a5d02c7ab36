"""Mail for development: each message becomes an `.eml` file that any mail program opens."""

import asyncio
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from pathlib import Path

from clients.errors import ServiceUnavailableError
from clients.handover import Before, nothing
from clients.mail import Mail, Sender
from clients.mime import written_message


@dataclass(frozen=True, slots=True)
class MailFile:
    """Writes into `directory`, which is made when missing.

    The name of the file follows from the message id, so a repeated mail replaces itself.
    """

    directory: Path
    _: KW_ONLY
    sender: Sender
    clock: Callable[[], datetime]
    name: str = "file"
    is_repeatable: bool = True
    reports: bool = False

    async def send(self, mail: Mail, *, message_id: str, before: Before = nothing) -> str:
        """Returns the file's name. Raises ServiceUnavailableError when it cannot be written."""
        message = await asyncio.to_thread(
            written_message, mail, self.sender, message_id=message_id, date=self.clock()
        )
        await before()
        path = self.directory / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', message_id.strip('<>'))}.eml"
        try:
            await asyncio.to_thread(write_whole, path, message)
        except OSError as error:
            raise ServiceUnavailableError(
                f"the mail directory cannot be written: {error.strerror}"
            ) from error
        return path.name

    async def aclose(self) -> None:
        """Nothing is open between mails."""


def write_whole(path: Path, content: bytes) -> None:
    """All of it or nothing: whoever looks meanwhile sees no half of a mail."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
