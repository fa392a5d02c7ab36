"""All resources of the API. A new one is a module of operations, and one line here."""

from types import ModuleType

from worker.sidecar.api import (
    audit,
    dead_letter_changes,
    dead_letters,
    events,
    health,
    jobs,
    legacy,
    notices,
    nurture_sequences,
    periodic,
    previews,
    queues,
    rates,
    report_schedules,
    run_changes,
    runs,
    schedules,
    sequences,
    suppressions,
    templates,
    webhooks,
)
from worker.sidecar.api.operation import Operation

RESOURCES: tuple[ModuleType, ...] = (
    jobs,
    runs,
    run_changes,
    queues,
    rates,
    dead_letters,
    dead_letter_changes,
    schedules,
    report_schedules,
    periodic,
    legacy,
    sequences,
    suppressions,
    templates,
    previews,
    nurture_sequences,
    webhooks,
    events,
    notices,
    audit,
    health,
)


def all_operations() -> tuple[Operation, ...]:
    """In the order in which they are declared."""
    return tuple(
        value
        for resource in RESOURCES
        for value in vars(resource).values()
        if isinstance(value, Operation)
    )
