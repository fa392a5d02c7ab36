from uuid import UUID, uuid4

from jobs.nurture.acting import PAGE, SomeContacts, names_a_sequence, pages
from tests.conftest import Tenant
from tests.jobs.nurture.world import Stage, add_sequence


def test_pages_have_each_contact_once() -> None:
    contacts = [UUID(int=number) for number in range(PAGE + 5)]

    first, second = pages([*contacts, *contacts])

    assert (len(first), len(second)) == (PAGE, 5)
    assert sorted(first + second) == contacts


async def test_a_sequence_is_named_by_its_name_or_its_id(stage: Stage, tenant: Tenant) -> None:
    sequence = await add_sequence(stage.db, tenant.tenant_id, [], name="Welcome!")

    async def is_there(named: str | None, tenant_id: UUID = tenant.tenant_id) -> bool:
        payload = SomeContacts(tenant_id=tenant_id, contact_ids=[uuid4()], sequence=named)
        return await names_a_sequence(stage.db, payload)

    assert await is_there("Welcome!")
    assert await is_there(str(sequence).upper())
    assert await is_there(None)
    assert not await is_there("welcome")
    assert not await is_there("Welcome!", uuid4())
