"""A schedule as it is kept, and a tick that is to be."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from jobs.kit.schedule import CatchUp
from worker.schedules.plan import Plan

Kind: TypeAlias = Literal["declared", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """A schedule as it is kept. Its ticks before `next_due_at` are dealt with."""

    name: str
    job: str
    kind: Kind
    tenant_id: UUID | None
    payload: dict[str, Any]
    line: str
    tz: str
    catch_up: CatchUp
    catch_up_window: timedelta
    may_overlap: bool
    anchor_at: datetime
    next_due_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    active_run_id: str | None
    active_outbox_id: int | None
    error: str | None
    fired: int
    succeeded: int
    failed: int
    missed: int
    last_success_at: datetime | None
    seen_at: datetime
    said_at: datetime
    said_since: datetime

    @property
    def plan(self) -> Plan:
        return Plan(
            line=self.line,
            tz=self.tz,
            catch_up=self.catch_up,
            window=self.catch_up_window,
            overlaps=self.may_overlap,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTick:
    """A tick that fires now, or a run that somebody asked for."""

    due_at: datetime
    run_id: str
    is_by_hand: bool = False
    fired_by: str | None = None
    missed: int = 0
