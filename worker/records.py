"""What the streams carry from engine to ledger: a record per attempt, one per dead letter."""

from base64 import b64decode, b64encode
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self, overload
from uuid import UUID

import orjson

from worker.codec import EXPIRES, JobMessage
from worker.ending import Ending, State
from worker.engine.claims import Claim
from worker.kept_payload import kept_payload

IS_FIRST = b'"state":"succeeded","is_first":true'
# The header, and the field: always a record's last, and a number. Other records end with a text.
OUTBOX = "outbox"
# What the ids of scheduled runs begin with.
TICK = "tick:"
TEXT_END = b'"'
_RANDOM_ID = 32  # digits, ours and ARQ's
_LAST_ROW_ID = 2**63 - 1
_INSTANTS = ("enqueued_at", "started_at", "ended_at")
_NEEDED = frozenset({"run_id", "job", "queue", "correlation_id", "worker", "attempt"})
_TEXTS = (_NEEDED - {"attempt"}) | frozenset(
    {
        "label",
        "replay_of",
        "payload",
        "reason",
        "error_type",
        "error_message",
        "traceback",
        "log",
        "result",
    }
)
_HEADERS = (("label", "label"), ("replay_of", "replay"))
UNKNOWN = "<unknown>"  # ARQ's own word for a run whose payload cannot be read


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for every attempt
class AttemptRecord:
    """How one attempt of a run went. Instants are aware; `error_*` are redacted text.

    `outbox` is the id of the outbox's row that the run was enqueued from, `payload` JSON as history
    keeps it (worker/kept_payload.py).
    """

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
    payload: str | None = None
    reason: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    log: str | None = None
    # What a scheduled run returned, as JSON.
    result: str | None = None
    outbox: int | None = None

    def to_bytes(self) -> bytes:
        """JSON, without what is None."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({name: value for name, value in fields.items() if value is not None})

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Raises ValueError, whatever the bytes are."""
        return cls(**_parsed(orjson.loads(raw)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRecord:
    """A dead letter: the last attempt, and the payload (or the bytes that are none).

    `headers` came with the run and shall come with its replay; None in records of version 0.1.
    """

    last: AttemptRecord
    payload: dict[str, Any] | None
    raw: bytes | None
    headers: dict[str, str] | None = None

    def to_bytes(self) -> bytes:
        raw = None if self.raw is None else b64encode(self.raw).decode()
        last = {**asdict(self.last), "payload": None}  # once is enough
        fields = {"last": last, "payload": self.payload, "raw": raw}
        return orjson.dumps({**fields, "headers": self.headers})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises ValueError, whatever the bytes are."""
        fields = orjson.loads(data)
        try:
            raw = None if fields["raw"] is None else b64decode(fields["raw"])
            last, payload, headers = fields["last"], fields["payload"], fields.get("headers")
        except (KeyError, TypeError):
            raise ValueError("this is no dead letter") from None
        if headers is not None and not isinstance(headers, dict):
            raise ValueError("this is no dead letter: headers is no object")
        last = AttemptRecord(**_parsed(last))
        return cls(last=last, payload=payload, raw=raw, headers=headers)


def attempt_record(
    claim: Claim,
    message: JobMessage | None,
    ending: Ending,
    *,
    started: float,
    ended: float,
    worker: str,
    sensitive: AbstractSet[str] | None,
    log: str | None = None,
) -> AttemptRecord:
    """`started` and `ended` in seconds since 1970.

    `sensitive` are the job's fields that are kept as a mask; None when the job is not known: then
    nobody knows what to mask, and no payload is kept.
    """
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
        payload=None
        if message is None or sensitive is None
        else kept_payload(message.arguments, sensitive),
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
        log=plain(log),
        outbox=row_id_of(headers.get(OUTBOX)),
    )


def success_bytes(
    claim: Claim,
    message: JobMessage,
    *,
    started: float,
    ended: float,
    worker: str,
    sensitive: AbstractSet[str],
    log: str | None = None,
    result: str | None = None,
) -> bytes:
    """The same as bytes for a success, at a third of the work: most attempts are one.

    One that history need not keep, beyond the newest, says so in IS_FIRST: nothing is known of its
    run from before, and its id comes never again.
    """
    headers = message.headers
    record: dict[str, Any] = {
        "run_id": claim.run_id,
        "job": message.function,
        "queue": claim.queue.name,
        "correlation_id": headers.get("cid", claim.run_id),
        "attempt": claim.attempts_spent + 1,
        "state": "succeeded",
    }
    if claim.is_first and len(claim.run_id) == _RANDOM_ID:
        record["is_first"] = True
    record["enqueued_at"] = message.enqueued_ms / 1000
    record["started_at"] = started
    record["ended_at"] = ended
    record["worker"] = worker
    payload = kept_payload(message.arguments, sensitive)
    if payload is not None:
        record["payload"] = payload
    if "tenant_id" in message.arguments:
        record["tenant_id"] = tenant_of(message)
    if log is not None:
        record["log"] = log
    if result is not None:
        record["result"] = result
    for field, header in _HEADERS:
        if header in headers:
            record[field] = headers[header]
    if OUTBOX in headers:
        record[OUTBOX] = row_id_of(headers[OUTBOX])
    return to_json(record)


def outbox_row_of(raw: bytes) -> int | None:
    """The row of the outbox that is done with this record: its run is over."""
    try:
        record = orjson.loads(raw)
        row_id, is_over = record[OUTBOX], State(record["state"]).is_final
    except (ValueError, KeyError, TypeError):
        return None
    return row_id if is_over and type(row_id) is int and 0 < row_id <= _LAST_ROW_ID else None


def row_id_of(header: str | None) -> int | None:
    """The row of the outbox that a header names. Headers are foreign."""
    is_id = header is not None and header.isascii() and header.isdigit() and len(header) < 20  # noqa: PLR2004 - digits
    return min(int(header), _LAST_ROW_ID) if header is not None and is_id else None


def to_json(record: dict[str, Any]) -> bytes:
    """As JSON, also with texts that JSON cannot carry as they are. Raises TypeError."""
    try:
        return orjson.dumps(record)
    except TypeError:
        texts = {name: plain(value) for name, value in record.items() if isinstance(value, str)}
        return orjson.dumps({**record, **texts})


def instant_of(value: str | float) -> datetime:
    """As records say it: ISO 8601, or seconds since 1970. Raises ValueError."""
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value).astimezone(UTC)
        return datetime.fromtimestamp(value, UTC)
    except (TypeError, OverflowError, OSError):
        raise ValueError("this is no instant") from None


def tenant_of(message: JobMessage | None) -> UUID | None:
    """The payload's tenant, if it names one."""
    tenant_id = message.arguments.get("tenant_id") if message else None
    try:
        return None if tenant_id is None else UUID(str(tenant_id))
    except ValueError:
        return None


def headers_of(message: JobMessage) -> dict[str, str]:
    """What a replay takes over: all but the time until which the run had to start."""
    return {plain(name): plain(value) for name, value in message.headers.items() if name != EXPIRES}


@overload
def plain(text: str) -> str: ...
@overload
def plain(text: None) -> None: ...
def plain(text: str | None) -> str | None:
    """Text that JSON can carry: file names and foreign bytes bring lone surrogates."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _parsed(data: Any) -> dict[str, Any]:
    """The fields of an AttemptRecord, each of its type. Raises ValueError."""
    try:
        tenant = data.get("tenant_id")
        fields = {
            **{name: data[name] for name in _NEEDED},
            **{name: data.get(name) for name in _TEXTS - _NEEDED},
            **{name: instant_of(data[name]) for name in _INSTANTS},
            "tenant_id": None if tenant is None else UUID(tenant),
            "state": State(data["state"]),
            OUTBOX: data.get(OUTBOX),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no record: {type(error).__name__}") from None
    for name in _TEXTS:
        if not isinstance(fields[name], str | None) or (name in _NEEDED and fields[name] is None):
            raise ValueError(f"this is no record: {name} is no text")
    if type(fields["attempt"]) is not int:
        raise ValueError("this is no record: attempt is no number")
    if fields[OUTBOX] is not None and type(fields[OUTBOX]) is not int:
        raise ValueError("this is no record: outbox is no number")
    return fields
