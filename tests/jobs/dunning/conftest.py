"""A tenant in Istanbul at eleven in the morning, and a contact of theirs."""

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.conftest import Tenant
from tests.jobs.dunning.rows import NOW, insert_contact, insert_profile
from worker.testing import Clock

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def contact_id(db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant) -> UUID:
    """Of a tenant with a profile; can be reached by both channels."""
    await insert_profile(db, tenant.tenant_id)
    return await insert_contact(db, tenant.tenant_id, email="zeynep@musteri.example")
