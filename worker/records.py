"""What the streams carry from engine to ledger: a record per attempt, one per dead letter."""

from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self, overload
from uuid import UUID

import orjson

from worker.codec import JobMessage
from worker.ending import Ending, State
from worker.engine.store import Claim

UNKNOWN = "<unknown>"  # ARQ's own word for a run whose payload cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """How one attempt of a run went. Instants are aware; `error_*` are redacted text."""

    run_id: str
    job: str
    queue: str
    tenant_id: UUID | None
    label: str | None
    correlation_id: str
    replay_of: str | None
    attempt: int
    state: State
    reason: str | None
    enqueued_at: datetime
    started_at: datetime
    ended_at: datetime
    worker: str
    error_type: str | None
    error_message: str | None
    traceback: str | None

    def to_bytes(self) -> bytes:
        return orjson.dumps(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        data = orjson.loads(raw)
        return cls(**_parsed(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRecord:
    """A dead letter: the last attempt, and the payload (or the bytes that are none)."""

    last: AttemptRecord
    payload: dict[str, Any] | None
    raw: bytes | None

    def to_bytes(self) -> bytes:
        raw = None if self.raw is None else b64encode(self.raw).decode()
        return orjson.dumps({"last": asdict(self.last), "payload": self.payload, "raw": raw})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        fields = orjson.loads(data)
        raw = None if fields["raw"] is None else b64decode(fields["raw"])
        last = AttemptRecord(**_parsed(fields["last"]))
        return cls(last=last, payload=fields["payload"], raw=raw)


def attempt_record(
    claim: Claim,
    message: JobMessage | None,
    ending: Ending,
    *,
    started_at: datetime,
    ended_at: datetime,
    worker: str,
) -> AttemptRecord:
    headers = message.headers if message else {}
    failure = ending.failure
    return AttemptRecord(
        run_id=claim.run_id,
        job=_plain(message.function) if message else UNKNOWN,
        queue=claim.queue.name,
        tenant_id=tenant_of(message),
        label=_plain(headers.get("label")),
        correlation_id=_plain(headers.get("cid", claim.run_id)),
        replay_of=_plain(headers.get("replay")),
        attempt=claim.attempt,
        state=ending.state,
        reason=_plain(ending.reason),
        enqueued_at=message.enqueued_at if message else claim.due_at,
        started_at=started_at,
        ended_at=ended_at,
        worker=worker,
        error_type=failure.error_type if failure else None,
        error_message=_plain(failure.message) if failure else None,
        traceback=_plain(failure.traceback) if failure else None,
    )


def tenant_of(message: JobMessage | None) -> UUID | None:
    """The payload's tenant, if it names one."""
    try:
        return UUID(str(message.arguments["tenant_id"])) if message else None
    except (KeyError, ValueError):
        return None


@overload
def _plain(text: str) -> str: ...
@overload
def _plain(text: None) -> None: ...
def _plain(text: str | None) -> str | None:
    """Text that JSON can carry: file names and foreign bytes bring lone surrogates."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _parsed(data: dict[str, Any]) -> dict[str, Any]:
    tenant = data["tenant_id"]
    instants = {
        name: datetime.fromisoformat(data[name]).astimezone(UTC)
        for name in ("enqueued_at", "started_at", "ended_at")
    }
    return {
        **data,
        **instants,
        "tenant_id": None if tenant is None else UUID(tenant),
        "state": State(data["state"]),
    }
