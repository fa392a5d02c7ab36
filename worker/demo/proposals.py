"""What the demo tenants' people are working on, as of the day that the tour is taken."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from worker.demo.tenants import DemoTenant

_TITLES = {
    "en": ("Pier 4 fender replacement", "Ranger station 7 roof", "Harbor lights, lot 2"),
    "tr": (
        "4 No.lu iskele usturmaça yenileme",
        "7 No.lu istasyon çatısı",
        "Liman aydınlatma, 2. kısım",
    ),
}
_PATHS = (("draft", "in_progress", "in_review"), ("draft", "submitted"), ("submitted", "won"))
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoChange:
    change_id: UUID
    from_status: str
    to_status: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoProposal:
    proposal_id: UUID
    title: str
    status: str
    created_at: datetime
    due_at: datetime
    url: str
    changes: tuple[DemoChange, ...]


def proposals(tenant: DemoTenant, now: datetime) -> list[DemoProposal]:
    """Three, changed within the last week; their ids are the same whenever it is."""
    return [
        _proposal(tenant, number, title, path, now)
        for number, (title, path) in enumerate(zip(_TITLES[tenant.locale], _PATHS, strict=True))
    ]


def newest_change(found: list[DemoProposal]) -> UUID:
    """The one that the team is told of."""
    return found[0].changes[-1].change_id


def _proposal(
    tenant: DemoTenant, number: int, title: str, path: tuple[str, ...], now: datetime
) -> DemoProposal:
    proposal_id = uuid5(tenant.tenant_id, f"proposal {number}")
    # Within the last seven days, so that most of it was in the week before this one.
    instants = [now - (6 - step * 2 - number % 2) * _DAY for step in range(len(path) - 1)]
    changes = tuple(
        DemoChange(
            change_id=uuid5(proposal_id, f"change {step}"),
            from_status=before,
            to_status=after,
            changed_at=at,
        )
        for step, (before, after, at) in enumerate(zip(path, path[1:], instants, strict=False))
    )
    return DemoProposal(
        proposal_id=proposal_id,
        title=title,
        status=path[-1],
        created_at=now - 7 * _DAY,
        due_at=now + (3 + number) * _DAY,
        url=f"https://app.example/proposals/{proposal_id}",
        changes=changes,
    )
