from typing import Any
from uuid import uuid4

import pytest

from jobs.dunning.contacts import DunningContacts
from jobs.dunning.stop_dunning import stop_dunning
from jobs.kit import PayloadError

TENANT, ONE, OTHER = (str(uuid4()) for _ in range(3))


def test_somebody_named_twice_is_one() -> None:
    payload = DunningContacts.model_validate(
        {"tenant_id": TENANT, "contact_ids": [ONE, OTHER, ONE], "reason": "asked to"}
    )

    assert [str(one) for one in payload.contact_ids] == [ONE, OTHER]


def test_the_old_spelling_is_read() -> None:
    payload = stop_dunning.validate({"orgId": TENANT, "contactIds": [ONE]})

    assert (str(payload.tenant_id), str(payload.contact_ids[0])) == (TENANT, ONE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("contact_ids", []),
        ("contact_ids", ["x"]),
        ("contact_ids", [str(uuid4()) for _ in range(1001)]),
        ("sequence", "welcome"),
        ("reason", ""),
        ("reason", "x" * 501),
        ("tenant_id", None),
        ("contact", ONE),
    ],
    ids=["none", "no_id", "too_many", "sequence", "no_reason", "long", "no_tenant", "unknown"],
)
def test_what_does_not_fit_is_named(field: str, value: Any) -> None:
    with pytest.raises(PayloadError, match=field):
        stop_dunning.validate({"tenant_id": TENANT, "contact_ids": [ONE], field: value})
