"""Errors that end the worker itself go to Sentry: what broke and where, and nothing that it held.

No integration is on: nothing is patched, and no breadcrumb, variable, line of source, argument or
address of this machine leaves. What does leave is named below, and passes the redactor.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from worker.telemetry.redaction import redact, redact_text

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_KEPT: Final = (
    *("event_id", "timestamp", "level", "platform"),
    *("release", "environment", "server_name", "sdk"),
)
_FLUSH_WITHIN: Final = 5.0  # seconds for what is on its way when the process ends


class Sentry:
    """Where errors are reported to; without a DSN nowhere. Never raises for a Sentry that is away.

    `server_name` is the service's name: a host's may say more than it should.
    """

    def __init__(
        self, dsn: str | None, *, release: str, environment: str, server_name: str
    ) -> None:
        self._is_on = dsn is not None
        if dsn is None:
            return
        import sentry_sdk  # noqa: PLC0415 - takes a while, and most workers have no DSN

        sentry_sdk.init(
            dsn,
            release=release,
            environment=environment,
            server_name=server_name,
            default_integrations=False,
            auto_enabling_integrations=False,
            include_local_variables=False,
            include_source_context=False,
            send_client_reports=False,
            auto_session_tracking=False,
            enable_backpressure_handling=False,
            max_breadcrumbs=0,
            spotlight=False,
            before_send=_redacted,
        )

    def report(self, error: BaseException) -> None:
        """Send it in the background."""
        if self._is_on:
            import sentry_sdk  # noqa: PLC0415 - it is there already

            sentry_sdk.capture_exception(error)

    def close(self) -> None:
        """Wait for what is on its way; blocks, for 5 s at most."""
        if self._is_on:
            import sentry_sdk  # noqa: PLC0415 - as above

            sentry_sdk.flush(timeout=_FLUSH_WITHIN)


def _redacted(event: "Event", hint: "Hint") -> "Event":
    del hint
    given = cast("Mapping[str, Any]", event)
    kept = {name: given[name] for name in _KEPT if name in given}
    errors = given.get("exception", {}).get("values", [])
    kept["exception"] = {"values": [_error(error) for error in errors]}
    return cast("Event", kept)


def _error(error: Mapping[str, Any]) -> dict[str, object]:
    # A frame each: as part of the whole event they would lie too deep for the redactor.
    frames = (error.get("stacktrace") or {}).get("frames", [])
    return {
        "type": redact_text(str(error.get("type"))),
        "value": redact_text(str(error.get("value"))),
        "module": error.get("module"),
        "mechanism": redact(error.get("mechanism")),
        "stacktrace": {"frames": [redact(frame) for frame in frames]},
    }
