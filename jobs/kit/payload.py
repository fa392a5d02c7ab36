"""The arguments of a run: one pydantic model per job, ids and not records.

Fields are only ever added, with a default. So an older worker ignores a field it does not know,
while whoever enqueues is told about a misspelt one (`Job.validate`).
"""

from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Payload(BaseModel):
    """Base of all payloads: frozen, and equal to what JSON can carry."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TenantPayload(Payload):
    """Base of payloads that concern one tenant's data."""

    tenant_id: UUID
