"""Logging: one line per record, one pipeline for our own loggers and everybody else's.

Text   [2026-11-21T09:00:00.123Z] [INFO] Run succeeded {"run_id": "…", "correlation_id": "…"}
JSON   {"timestamp": …, "level": …, "message": …, "logger": …, then the same context}

The context is what the line itself says, then the run it belongs to, then the correlation id:
the run's, or outside of runs the process's own. Everything passes the redactor last. Writing
never raises: a log that cannot be written must not fail the job that wrote it.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import Any, Final, Literal, TextIO, TypeAlias, cast
from uuid import uuid4

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, FilteringBoundLogger, ProcessorReturnValue
from typing_extensions import override

from worker.telemetry.redaction import redact, redact_text

__all__ = [
    "PROCESS_CORRELATION_ID",
    "bind_run",
    "bind_to_task",
    "configure",
    "get_logger",
    "send_run_lines_to",
]

Format = Literal["text", "json"]

PROCESS_CORRELATION_ID: Final = uuid4().hex
"""Under which the lines of this process are found that belong to no run."""

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# ARQ prints arguments and results of runs at INFO, HTTP clients print addresses with their keys.
_QUIET: Final = ("arq.worker", "arq.jobs", "arq.connections", "httpx", "httpcore")
_SILENT: Final = "aiohttp.access"
_STACK_SIGNS: Final = 8000
_HIDDEN: Final = frozenset({"event", "exc_info", "stack_info", "_record", "_from_structlog"})
_RUN_FIELDS: Final = ("run_id", "job", "queue", "attempt", "correlation_id")
RunFields: TypeAlias = tuple[str, str, str, int, str]
_run: ContextVar[RunFields | None] = ContextVar("run", default=None)
_OF_JOBS: Final = "jobs."
RunLines: TypeAlias = Callable[[str, int, str], None]
_sinks: list[RunLines] = []
_JSON_FIELDS: Final = frozenset({"timestamp", "level", "message", "logger"})
# What would break a line, move the cursor or reorder the text on a terminal, and lone surrogates.
CONTROL: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

Error = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(*, level: str, fmt: Format, stream: TextIO | None = None) -> None:
    """Send all logging of the process to `stream` (standard output, unless given).

    Takes over whatever was set up before (ARQ's command does so after the import), so call it
    last; calling it again replaces the former call. `level` is a name such as "INFO".

    Raises ValueError when there is no such level.
    """
    if level.upper() not in _LEVELS:
        raise ValueError(f"LOG_LEVEL: there is no level {level!r}; choose {', '.join(_LEVELS)}")
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = _LineHandler(stream)
    render = _render_json if fmt == "json" else _render_text
    extras = structlog.stdlib.ExtraAdder()
    handler.setFormatter(ProcessorFormatter(processors=[_note, render], foreign_pre_chain=[extras]))
    _take_over(handler, number)
    structlog.configure(
        processors=[ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # module-level loggers follow a later `configure`
    )


@cache
def get_logger(name: str) -> FilteringBoundLogger:
    """A logger; `name` is the module's. `log.info("Run succeeded", run_id=…)`."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))


def bind_to_task(
    run_id: str, job: str, queue: str, attempt: int, correlation_id: str
) -> "Token[RunFields | None]":
    """Put these on every line of the current task, whoever writes it. `job` is the job's name."""
    return _run.set((run_id, job, queue, attempt, correlation_id))


def write_lines(lines: Iterable[str]) -> None:
    """Write lines that are in the log's form already, at once, where all others go."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _LineHandler):
            handler.write(lines)


@contextmanager
def bind_run(
    *, run_id: str, job: str, queue: str, attempt: int, correlation_id: str
) -> Iterator[None]:
    """The same for the lines inside the `with`."""
    token = bind_to_task(run_id, job, queue, attempt, correlation_id)
    try:
        yield
    finally:
        _run.reset(token)


def _take_over(handler: logging.Handler, level: int) -> None:
    """Leave exactly one handler in the process, on the root, and no logger that bypasses it."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for logger in list(logging.Logger.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
            logger.disabled = False
    logging.getLogger("arq").setLevel(logging.NOTSET)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, level))
    logging.getLogger(_SILENT).setLevel(logging.CRITICAL + 1)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes whole lines; what cannot be formatted or written is told in one line, or dropped."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(stream or sys.stdout)
        self._follows_stdout = stream is None

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._follows_stdout:  # it may have been replaced or closed since
            self.stream = sys.stdout
        super().emit(record)

    def write(self, lines: Iterable[str]) -> None:
        """Never raises: what cannot be written is dropped."""
        text = "".join(line + self.terminator for line in lines)
        with self.lock or nullcontext():
            if self._follows_stdout:
                self.stream = sys.stdout
            try:
                self.stream.write(text)
            except UnicodeEncodeError:  # the stream is not UTF-8
                self.stream.write(text.encode("ascii", "backslashreplace").decode())
            except (OSError, ValueError):  # a closed stream or a broken pipe: nobody reads it
                return
            self.flush()

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        try:
            if isinstance(error, UnicodeEncodeError):  # the stream is not UTF-8
                line = self.format(record)
            else:
                context = {
                    "logger": record.name,
                    "where": f"{record.filename}:{record.lineno}",
                    "error": {"type": type(error).__name__},
                }
                line = _text_line(record, "A log record could not be written", context)
            self.stream.write(line.encode("ascii", "backslashreplace").decode() + self.terminator)
            self.flush()
        except Exception:  # noqa: BLE001 - a closed stream or a broken pipe: nobody reads it
            return


def send_run_lines_to(sink: RunLines | None) -> None:
    """Who hears what jobs log with `ctx.log`: run id, attempt, the redacted line. None: nobody."""
    _sinks[:] = [] if sink is None else [sink]


def _note(_: Any, __: str, event: EventDict) -> ProcessorReturnValue:
    record, run = event["_record"], _run.get()
    if _sinks and run is not None and record.name.startswith(_OF_JOBS):
        context = _context(record, dict(event))
        said = {name: value for name, value in context.items() if name not in _RUN_FIELDS}
        message = redact_text(str(event["event"]))
        line = f"{_timestamp(record.created)} {record.levelname} {CONTROL.sub(escape, message)}"
        _sinks[0](run[0], run[3], f"{line} {_dump(said)}" if said else line)
    return event


def _render_text(_: Any, __: str, event: EventDict) -> ProcessorReturnValue:
    record: logging.LogRecord = event["_record"]
    if not event["_from_structlog"]:
        event["logger"] = record.name
    return _text_line(record, redact_text(str(event["event"])), _context(record, event))


def _render_json(_: Any, __: str, event: EventDict) -> ProcessorReturnValue:
    record: logging.LogRecord = event["_record"]
    line = {
        "timestamp": _timestamp(record.created),
        "level": record.levelname,
        "message": redact_text(str(event["event"])),
        "logger": record.name,
    }
    for name, value in _context(record, event).items():
        line[f"{name}_" if name in _JSON_FIELDS else name] = value
    return _dump(line)


def _text_line(record: logging.LogRecord, message: str, context: dict[str, Any]) -> str:
    time_and_level = f"[{_timestamp(record.created)}] [{record.levelname}]"
    return f"{time_and_level} {CONTROL.sub(escape, message)} {_dump(context)}"


def _context(record: logging.LogRecord, event: EventDict) -> dict[str, Any]:
    context = {name: value for name, value in event.items() if name not in _HIDDEN}
    error = _error(event.get("exc_info"))
    if error is not None:
        # An `error` that the line itself names stays.
        name = "exception" if "error" in context else "error"
        context[name] = _describe(error, with_stack=record.levelno >= logging.ERROR)
    if event.get("stack_info"):
        context["stack"] = str(event["stack_info"])[-_STACK_SIGNS:]
    run = _run.get()
    if run is not None:
        for name, value in zip(_RUN_FIELDS, run, strict=True):
            context.setdefault(name, value)
    context["correlation_id"] = context.pop("correlation_id", None) or PROCESS_CORRELATION_ID
    return cast("dict[str, Any]", redact(context))


def _error(exc_info: object) -> BaseException | None:
    """The exception that `exc_info` stands for: True, an exception, or `sys.exc_info()`."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return cast("Error", exc_info)[1]
    return sys.exc_info()[1] if exc_info else None


def _describe(error: BaseException, *, with_stack: bool) -> dict[str, object]:
    description: dict[str, object] = {"type": type(error).__qualname__, "message": error}
    try:
        description["message"] = str(error)
        if with_stack:
            # The end of a stack tells most.
            description["stack"] = "".join(traceback.format_exception(error))[-_STACK_SIGNS:]
    except Exception:  # noqa: BLE001 - an exception that cannot be printed still has its type
        description["message"] = "[unprintable]"
    return description


def _timestamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dump(context: dict[str, Any]) -> str:
    # JSON escapes only the first 32 signs.
    return CONTROL.sub(escape, json.dumps(context, ensure_ascii=False))


def escape(match: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0], f"\\u{ord(match[0]):04x}")
