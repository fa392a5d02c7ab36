"""A sequence of the demo: each tenant welcomes somebody who has asked about it."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid5

from jobs.nurture.core import Step
from worker.demo.tenants import ANADOLU, BLUE_RIDGE, DemoTenant

NAME = "welcome"
VALUES = {"booking_url": "https://book.example/visit"}
_DELAYS = {"nurture_welcome": 0, "nurture_first_visit": 3, "nurture_check_in": 7}  # days


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoContact:
    """Somebody made up, who agreed to mail."""

    contact_id: UUID
    full_name: str
    email: str


CONTACTS = {
    ANADOLU.tenant_id: DemoContact(
        contact_id=UUID("a0ad01c0-0000-4000-8000-000000000301"),
        full_name="Deniz Kaya",
        email="deniz.kaya@example.org",
    ),
    BLUE_RIDGE.tenant_id: DemoContact(
        contact_id=UUID("b1e1d6e0-0000-4000-8000-000000000301"),
        full_name="Jordan Lee",
        email="jordan.lee@example.org",
    ),
}


def sequence_id_of(tenant: DemoTenant) -> UUID:
    """The same on every tour, as its steps are."""
    return uuid5(tenant.tenant_id, NAME)


def steps_of(tenant: DemoTenant) -> list[Step]:
    """A mail at once, one after three days, one a week later."""
    return [
        Step(
            step_id=uuid5(sequence_id_of(tenant), template),
            delay=timedelta(days=days),
            channel="email",
            template=template,
        )
        for template, days in _DELAYS.items()
    ]
