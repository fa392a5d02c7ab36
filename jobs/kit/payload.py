"""The arguments of a run: one pydantic model per job, ids and not records.

Fields are only ever added, with a default. So an older worker ignores a field it does not know,
while whoever enqueues is told about a misspelt one (`Job.validate`).
"""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    ValidationInfo,
    model_validator,
)
from typing_extensions import override

from clients.object_storage import InvalidKeyError, check_key

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Payload(BaseModel):
    """Base of all payloads: frozen, and equal to what JSON can carry."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def plain(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same, by the names of our fields."""
        return data


class TenantPayload(Payload):
    """Base of payloads that concern one tenant's data."""

    tenant_id: UUID


class LegacyPayload(TenantPayload):
    """Base of payloads that older services enqueue too, with names of their own.

    `contactId` is read as `contact_id`, and `orgId` as `tenant_id`, where that is not there itself.
    """

    @classmethod
    @override
    def plain(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            name if _plain_name(name) in data else _plain_name(name): value
            for name, value in data.items()
        }

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, data: Any) -> Any:
        return cls.plain(data) if isinstance(data, Mapping) else data


def _plain_name(name: str) -> str:
    plain = _HUMP.sub("_", name).lower()
    return "tenant_id" if plain == "org_id" else plain


class WebhookDelivery(Payload):
    """What another service sent us: the body is text, as it was signed, and so is the query.

    A job that takes it says `sensitive=("body",)`.
    """

    source: str
    received_at: AwareDatetime
    content_type: str
    body: str
    query: str = ""


def tenant_file(folder: str) -> AfterValidator:
    """A storage key below `<folder>/<tenant_id>/`: a tenant's run reads no other tenant's files.

    For `Annotated[str, tenant_file("reports")]` in a TenantPayload.
    """

    def check(key: str, info: ValidationInfo) -> str:
        if not key.startswith(f"{folder}/{info.data.get('tenant_id')}/"):
            raise ValueError(f"must begin with {folder}/<tenant_id>/")
        try:
            return check_key(key)
        except InvalidKeyError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(check)
