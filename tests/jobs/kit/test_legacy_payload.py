"""Payloads that older services enqueue too, with names of their own."""

from uuid import UUID

import pytest

from jobs.kit import Job, JobContext, LegacyPayload, PayloadError, declare, job

TENANT, CONTACT = UUID(int=1), UUID(int=2)


class Asked(LegacyPayload):
    contact_id: UUID
    days_overdue: int = 0


async def ask(ctx: JobContext, payload: Asked) -> None:
    """Nothing is done here."""


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Job[Asked, None]:
    monkeypatch.setattr(declare, "_DECLARED", {})
    return job("dunning.ask", queue="dunning")(ask)


@pytest.mark.parametrize(
    "data",
    [
        {"orgId": str(TENANT), "contactId": str(CONTACT), "daysOverdue": 3},
        {"org_id": str(TENANT), "contact_id": str(CONTACT), "days_overdue": 3},
        {"tenantId": str(TENANT), "contactId": str(CONTACT), "days_overdue": 3},
    ],
)
def test_both_spellings_mean_the_same(asking: Job[Asked, None], data: dict[str, object]) -> None:
    expected = Asked(tenant_id=TENANT, contact_id=CONTACT, days_overdue=3)

    assert asking.validate(data) == asking.read(data) == expected


def test_a_field_that_is_there_twice_is_refused_by_its_old_name(asking: Job[Asked, None]) -> None:
    data = {"tenant_id": str(TENANT), "orgId": str(CONTACT), "contact_id": str(CONTACT)}

    with pytest.raises(PayloadError, match="unknown field orgId"):
        asking.validate(data)


def test_a_misspelt_field_is_still_refused(asking: Job[Asked, None]) -> None:
    with pytest.raises(PayloadError, match="unknown field contcat_id"):
        asking.validate({"orgId": str(TENANT), "contcatId": str(CONTACT)})
