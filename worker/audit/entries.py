"""What an entry of the audit log holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

Outcome: TypeAlias = Literal["begun", "done", "failed", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`targets` are ids and names of what it is done to, or `filter` finds them.

    `reason` is what the principal gave for it.
    """

    principal: str
    role: str
    credential: str
    tenant_id: UUID | None
    action: str
    targets: tuple[str, ...]
    filter: Mapping[str, Any] | None
    reason: str | None
    ip: str
    user_agent: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An entry as it is read. `affected` is to how many it was done; `error` is a code."""

    audit_id: int
    at: datetime
    outcome: Outcome
    affected: int | None
    error: str | None
    entry: Entry
