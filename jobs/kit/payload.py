"""The arguments of a run: one pydantic model per job, ids and not records.

Fields are only ever added, with a default. So an older worker ignores a field it does not know,
while whoever enqueues is told about a misspelt one (`Job.validate`).
"""

from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationInfo

from clients.object_storage import InvalidKeyError, check_key


class Payload(BaseModel):
    """Base of all payloads: frozen, and equal to what JSON can carry."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TenantPayload(Payload):
    """Base of payloads that concern one tenant's data."""

    tenant_id: UUID


class WebhookDelivery(Payload):
    """What another service sent us: the body is text, as it was signed.

    A job that takes it says `sensitive=("body",)`.
    """

    source: str
    received_at: AwareDatetime
    content_type: str
    body: str


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
