"""What all mails to a user are asked for with, by us and by the services before us."""

from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator

from jobs.kit import LegacyPayload


def _forgotten(value: object) -> None:
    """Accepted, and kept nowhere."""
    del value


class UserPayload(LegacyPayload):
    """A user of the tenant. The older services give an address, too: the database's counts, so that
    one who has changed theirs is not written to at the old one.
    """

    user_id: UUID
    email: Annotated[str | None, BeforeValidator(_forgotten)] = None
