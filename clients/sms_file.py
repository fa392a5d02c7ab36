"""SMS for development: each one becomes a `.json` file."""

import asyncio
import json
import re
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from pathlib import Path

from clients.errors import ServiceUnavailableError
from clients.handover import Before, nothing
from clients.mail_file import write_whole
from clients.sms import Sms
from clients.sms_text import length


@dataclass(frozen=True, slots=True)
class SmsFile:
    """Writes into `directory`, which is made when missing.

    The name of the file follows from the message id, so a repeated SMS replaces itself.
    """

    directory: Path
    _: KW_ONLY
    clock: Callable[[], datetime]
    sender: str | None = None
    name: str = "file"
    is_repeatable: bool = True

    async def send(self, sms: Sms, *, message_id: str, before: Before = nothing) -> str:
        """Returns the file's name. Raises ServiceUnavailableError when it cannot be written."""
        path = self._path(message_id)
        content = self._written(sms, message_id)
        await before()
        try:
            await asyncio.to_thread(write_whole, path, content)
        except OSError as error:
            raise ServiceUnavailableError(
                f"the SMS directory cannot be written: {error.strerror}"
            ) from error
        return path.name

    async def find(
        self,
        sms: Sms,  # noqa: ARG002 - the name of the file says it all
        *,
        message_id: str,
        since: datetime,  # noqa: ARG002 - the same
        known: Collection[str] = (),  # noqa: ARG002 - the same
    ) -> str | None:
        """The file's name, if it is there."""
        path = self._path(message_id)
        return path.name if await asyncio.to_thread(path.exists) else None

    async def accepted(
        self,
        to: str,  # noqa: ARG002 - the name of the file says it all
        *,
        message_id: str,
        since: datetime,  # noqa: ARG002 - the same
        until: datetime,  # noqa: ARG002 - the same
        known: Collection[str] = (),  # noqa: ARG002 - the same
    ) -> list[str]:
        """The file's name, if it is there."""
        path = self._path(message_id)
        return [path.name] if await asyncio.to_thread(path.exists) else []

    async def aclose(self) -> None:
        """Nothing is open between SMS."""

    def _path(self, message_id: str) -> Path:
        return self.directory / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', message_id.strip('<>'))}.json"

    def _written(self, sms: Sms, message_id: str) -> bytes:
        size = length(sms.body)
        told = {
            "message_id": message_id,
            "template": sms.template,
            "from": sms.sender or self.sender,
            "to": sms.to,
            "sent_at": self.clock().isoformat(),
            "encoding": size.encoding,
            "segments": size.segments,
            "body": sms.body,
        }
        return (json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode()
