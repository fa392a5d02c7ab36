"""A sequence of the demo: each tenant welcomes somebody who has asked about it."""

from datetime import timedelta
from uuid import UUID, uuid5

from jobs.nurture.core import Step
from worker.demo.tenants import DemoTenant

NAME = "welcome"
VALUES = {"booking_url": "https://book.example/visit"}
_DELAYS = {"nurture_welcome": 0, "nurture_first_visit": 3, "nurture_check_in": 7}  # days


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
