"""What the streams carry from engine to ledger: a record per attempt, one per dead letter."""

from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Self, overload
from uuid import UUID

import orjson

from worker.codec import JobMessage
from worker.ending import Ending, State
from worker.engine.claims import Claim

IS_FIRST = b'"state":"succeeded","is_first":true'
_RANDOM_ID = 32  # digits, ours and ARQ's
UNKNOWN = "<unknown>"  # ARQ's own word for a run whose payload cannot be read


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for every attempt
class AttemptRecord:
    """How one attempt of a run went. Instants are aware; `error_*` are redacted text."""

    run_id: str
    job: str
    queue: str
    correlation_id: str
    attempt: int
    state: State
    enqueued_at: datetime
    started_at: datetime
    ended_at: datetime
    worker: str
    tenant_id: UUID | None = None
    label: str | None = None
    replay_of: str | None = None
    reason: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    traceback: str | None = None

    def to_bytes(self) -> bytes:
        """JSON, without what is None."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({name: value for name, value in fields.items() if value is not None})

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
    started: float,
    ended: float,
    worker: str,
) -> AttemptRecord:
    """`started` and `ended` in seconds since 1970."""
    headers = message.headers if message else {}
    failure = ending.failure
    return AttemptRecord(
        run_id=plain(claim.run_id),
        job=plain(message.function) if message else UNKNOWN,
        queue=claim.queue.name,
        tenant_id=tenant_of(message),
        label=plain(headers.get("label")),
        correlation_id=plain(headers.get("cid", claim.run_id)),
        replay_of=plain(headers.get("replay")),
        attempt=claim.attempt,
        state=ending.state,
        reason=plain(ending.reason),
        enqueued_at=message.enqueued_at if message else claim.due_at,
        started_at=datetime.fromtimestamp(started, UTC),
        ended_at=datetime.fromtimestamp(ended, UTC),
        worker=worker,
        error_type=failure.error_type if failure else None,
        error_message=plain(failure.message) if failure else None,
        traceback=plain(failure.traceback) if failure else None,
    )


def success_bytes(
    claim: Claim, message: JobMessage, *, started: float, ended: float, worker: bytes
) -> bytes:
    """The same as bytes for a success, at a third of the work: most attempts are one.

    `worker` is JSON already. One that history need not keep, beyond the newest, says so in
    IS_FIRST: nothing is known of its run from before, and its id comes never again.
    """
    headers = message.headers
    tenant_id = tenant_of(message)
    is_first = claim.is_first and len(claim.run_id) == _RANDOM_ID
    state = IS_FIRST if is_first else b'"state":"succeeded"'
    more = b"" if tenant_id is None else b',"tenant_id":"%s"' % str(tenant_id).encode()
    for field, header in (("label", "label"), ("replay_of", "replay")):
        if header in headers:
            more += b',"%s":%s' % (field.encode(), to_json(headers[header]))
    return (
        b'{"run_id":%s,"job":%s,"queue":%s,"correlation_id":%s,"attempt":%d,%s,'
        b'"enqueued_at":"%s","started_at":"%s","ended_at":"%s","worker":%s%s}'
    ) % (
        to_json(claim.run_id),
        name_to_json(message.function),
        name_to_json(claim.queue.name),
        to_json(headers.get("cid", claim.run_id)),
        claim.attempts_spent + 1,
        state,
        _iso(message.enqueued_ms / 1000),
        _iso(started),
        _iso(ended),
        worker,
        more,
    )


def to_json(text: str) -> bytes:
    """A text as JSON, also one that JSON cannot carry as it is."""
    return orjson.dumps(text if text.isascii() else plain(text))


# For names, of which there are few.
name_to_json = lru_cache(maxsize=1000)(to_json)

_SECONDS_KEPT = 1000
_seconds: dict[int, bytes] = {}


def _iso(seconds: float) -> bytes:
    """An instant as ISO 8601. Runs that are many share their seconds: those are written once."""
    micros = int(seconds * 1_000_000)
    second = micros // 1_000_000
    text = _seconds.get(second)
    if text is None:
        if len(_seconds) >= _SECONDS_KEPT:
            _seconds.clear()
        text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}".encode()
        _seconds[second] = text
    return b"%s.%06d+00:00" % (text, micros % 1_000_000)


def tenant_of(message: JobMessage | None) -> UUID | None:
    """The payload's tenant, if it names one."""
    tenant_id = message.arguments.get("tenant_id") if message else None
    try:
        return None if tenant_id is None else UUID(str(tenant_id))
    except ValueError:
        return None


@overload
def plain(text: str) -> str: ...
@overload
def plain(text: None) -> None: ...
def plain(text: str | None) -> str | None:
    """Text that JSON can carry: file names and foreign bytes bring lone surrogates."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _parsed(data: dict[str, Any]) -> dict[str, Any]:
    tenant = data.get("tenant_id")
    data.pop("is_first", None)
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
