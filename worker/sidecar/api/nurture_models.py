"""What callers say about nurture sequences, and what they are told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID, uuid4

from pydantic import AfterValidator, AwareDatetime, Field, field_validator

from jobs.nurture.core import Step
from jobs.nurture.sequences import queries
from jobs.nurture.wording import with_links
from worker.sidecar.api.operation import Answered, Body, Change, Parameters

if TYPE_CHECKING:
    from jobs.nurture.sequences.queries import Connection, Pool

_MOST_STEPS = 50
_LONGEST_DELAY = 366 * 86_400  # seconds
_NAME = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"

Event = Literal["reply", "conversion", "unsubscribe"]
Name = Annotated[str, Field(min_length=1, max_length=200)]
ValueName = Annotated[str, Field(max_length=64, pattern=r"^[a-z_][a-z0-9_]*$")]
Value = Annotated[str, Field(max_length=500)]
Values = Annotated[dict[ValueName, Value], Field(max_length=20), AfterValidator(with_links)]
ExitOn = Annotated[list[Event], Field(max_length=3)]


def _by_reply() -> list[Event]:
    return ["reply"]


class OneSequence(Parameters):
    sequence_id: UUID


class WantedStep(Body):
    """`delay_seconds` is since the step before, or the start. A step that is to stay the same one
    says its `step_id`; without one it is new. With `personalise` a language model, where one is
    set up, says the opening of the template's mail in words for the contact.
    """

    step_id: UUID | None = Field(None, strict=False)
    delay_seconds: int = Field(ge=0, le=_LONGEST_DELAY)
    channel: Literal["email", "sms", "preferred"] = "preferred"
    template: str = Field(max_length=100, pattern=_NAME)
    personalise: bool = False

    def step(self) -> Step:
        return Step(
            step_id=self.step_id or uuid4(),
            delay=timedelta(seconds=self.delay_seconds),
            channel=self.channel,
            template=self.template,
            personalise=self.personalise,
        )


Steps = Annotated[list[WantedStep], Field(max_length=_MOST_STEPS)]


class NewSequence(Body):
    """`tenant_id` is for callers that are bound to none. `values` are what its templates say:
    `booking_url`. To unsubscribe ends every sequence, whether `exit_on` says so or not.
    """

    tenant_id: UUID | None = Field(None, strict=False)
    name: Name
    exit_on: ExitOn = Field(default_factory=_by_reply)
    values: Values = Field(default_factory=dict)
    steps: Steps = Field(default_factory=list)

    @field_validator("steps")
    @classmethod
    def _are_new(cls, steps: list[WantedStep]) -> list[WantedStep]:
        if any(step.step_id is not None for step in steps):
            raise ValueError("step_id: the steps of a new sequence have none yet")
        return steps


class SequenceChange(Change):
    """What is not given stays. An inactive sequence takes nobody and sends nothing; those who are
    in it go on when it is active again.
    """

    name: Name | None = None
    is_active: bool | None = None
    exit_on: ExitOn | None = None
    values: Values | None = None


class NewSteps(Body):
    """All steps, in their order. `version` is the one that they were made from: without it, they
    take the place of whatever somebody else has put there meanwhile.
    """

    version: int | None = Field(None, ge=1)
    steps: Steps


class StepShown(Answered):
    step_id: UUID
    delay_seconds: int
    channel: str
    template: str
    personalise: bool


class SequenceShown(Answered):
    """`contacts` are those who are in it now."""

    sequence_id: UUID
    tenant_id: UUID
    name: str
    is_active: bool
    exit_on: list[str]
    values: dict[str, str]
    version: int
    contacts: int
    steps: list[StepShown]
    created_at: AwareDatetime
    updated_at: AwareDatetime


async def shown(db: "Pool | Connection", rows: Sequence[queries.Row]) -> list[SequenceShown]:
    """With their steps, and how many are in them."""
    ids = [row.sequence_id for row in rows]
    steps, contacts = await queries.steps_of(db, ids), await queries.count_in_flight(db, ids)
    return [
        SequenceShown(
            sequence_id=row.sequence_id,
            tenant_id=row.tenant_id,
            name=row.name,
            is_active=row.is_active,
            exit_on=list(row.exit_on),
            values=dict(row.values),
            version=row.version,
            contacts=contacts[row.sequence_id],
            steps=[_step_shown(step) for step in steps[row.sequence_id]],
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


def _step_shown(step: Step) -> StepShown:
    return StepShown(
        step_id=step.step_id,
        delay_seconds=int(step.delay.total_seconds()),
        channel=step.channel,
        template=step.template,
        personalise=step.personalise,
    )
