import io
import json
import logging
import logging.config
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import NoReturn
from uuid import UUID, uuid4

import pytest
import structlog
from arq.logs import default_log_config
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from worker.telemetry.logs import PROCESS_CORRELATION_ID, bind_run, configure, get_logger

LINE = re.compile(
    r"\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\] \[([A-Z]+)\] (.*?) ?(\{.*\})", re.DOTALL
)
log = get_logger("deskhand.test")


def _fail(message: str) -> NoReturn:
    raise ValueError(message)


class Hostile:
    @override
    def __repr__(self) -> NoReturn:
        raise RuntimeError("no")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging to other tests as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    arq = logging.getLogger("arq")
    arq.handlers.clear()
    structlog.reset_defaults()


def opened(level: str = "info") -> io.StringIO:
    """Configured within the test: pytest puts its own handlers on the root before each phase."""
    out = io.StringIO()
    configure(level=level, fmt="text", stream=out)
    return out


def parsed(line: str) -> tuple[str, str, str, dict[str, object]]:
    match = LINE.fullmatch(line)
    assert match is not None, line
    return match[1], match[2], match[3], json.loads(match[4])


def only_line(out: io.StringIO) -> tuple[str, str, str, dict[str, object]]:
    text = out.getvalue()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1, text
    return parsed(text[:-1])


def test_a_line_is_time_level_message_and_context() -> None:
    out = opened()
    log.info("Run succeeded", run_id="r1", duration_ms=12)

    at, level, message, context = only_line(out)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()) < 5
    assert (level, message) == ("INFO", "Run succeeded")
    assert list(context) == ["run_id", "duration_ms", "correlation_id"]
    assert out.getvalue().partition("] Run")[2] == (
        f' succeeded {{"run_id": "r1", "duration_ms": 12, '
        f'"correlation_id": "{PROCESS_CORRELATION_ID}"}}\n'
    )


def test_json_mode_writes_an_object_per_line() -> None:
    out = io.StringIO()
    configure(level="INFO", fmt="json", stream=out)

    log.warning("Run failed", message="mine", n=1)
    logging.getLogger("asyncpg").error("gone")

    first, second = map(json.loads, out.getvalue().splitlines())
    assert list(first) == [
        *("timestamp", "level", "message", "logger", "message_", "n", "correlation_id"),
    ]
    assert (first["level"], first["message"], first["message_"]) == (
        "WARNING",
        "Run failed",
        "mine",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["timestamp"])
    assert (second["logger"], second["message"]) == ("asyncpg", "gone")


def test_every_line_inside_a_run_names_it_whoever_writes() -> None:
    out = opened()
    with bind_run(run_id="r1", job="email.send", queue="email", attempt=2, correlation_id="c1"):
        log.info("ours", size=1)
        logging.getLogger("aiohttp.client").warning("theirs %d", 7)
    log.info("after")

    ours, theirs, after = (parsed(line) for line in out.getvalue().splitlines())
    run = {"run_id": "r1", "job": "email.send", "queue": "email", "attempt": 2}
    assert ours[3] == {"size": 1, **run, "correlation_id": "c1"}
    assert theirs[2:] == ("theirs 7", {"logger": "aiohttp.client", **run, "correlation_id": "c1"})
    assert after[3] == {"correlation_id": PROCESS_CORRELATION_ID}


def test_an_error_line_has_type_message_and_stack() -> None:
    out = opened()
    try:
        _fail("cannot mail ada@example.com")
    except ValueError:
        log.exception("Run failed")

    _, level, _, context = only_line(out)
    error = context["error"]
    assert level == "ERROR"
    assert isinstance(error, dict)
    assert (error["type"], error["message"]) == ("ValueError", "cannot mail [email]")
    assert "test_logs.py" in error["stack"]
    assert "ada@" not in error["stack"]


def test_a_warning_has_no_stack_and_an_own_error_field_stays() -> None:
    out = opened()
    log.warning("Run will be retried", error="mine", exc_info=ValueError("x"))

    context = only_line(out)[3]
    assert context["error"] == "mine"
    assert context["exception"] == {"type": "ValueError", "message": "x"}


def test_stdlib_exceptions_take_the_same_form() -> None:
    out = opened()
    try:
        _fail("gone")
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed", extra={"task": "t1"})

    context = only_line(out)[3]
    assert context["task"] == "t1"
    assert isinstance(context["error"], dict)
    assert list(context["error"]) == ["type", "message", "stack"]


def test_secrets_and_personal_data_never_arrive() -> None:
    out = opened()
    log.info("Mail to ada@example.com", first_name="Ada", iban="TR33", note="call +905321234567")
    logging.getLogger("x").error(
        "GET https://x/?api_key=%s", "k", extra={"headers": {"Cookie": "c"}}
    )

    ours, theirs = (parsed(line) for line in out.getvalue().splitlines())
    assert ours[2] == "Mail to [email]"
    assert ours[3]["first_name"] == ours[3]["iban"] == "[redacted]"
    assert ours[3]["note"] == "call [phone]"
    assert theirs[2] == "GET https://x/?api_key=[secret]"
    assert theirs[3]["headers"] == {"Cookie": "[redacted]"}


def test_nobody_can_forge_a_line() -> None:
    out = opened()
    log.info("a\n[2026-01-01T00:00:00.000Z] [INFO] forged", x="b\r\nc\u2028d\u0085e\x1b[31m\u202e")

    _, _, message, context = only_line(out)
    assert message.startswith("a\\n[2026")
    assert context["x"] == "b\r\nc\u2028d\u0085e\x1b[31m\u202e"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]", out.getvalue())


def test_any_value_can_be_logged() -> None:
    out = opened()
    run_id = uuid4()
    loop: list[object] = []
    loop.append(loop)

    log.info(
        "values",
        id=run_id,
        at=datetime(2026, 11, 21, 9, tzinfo=UTC),
        amount=Decimal("1.10"),
        file=b"\xff\x00",
        hostile=Hostile(),
        loop=loop,
        nan=float("nan"),
        huge=1 << 99_999,
        lone="\ud800",
        keys={UUID(int=0): 1, None: 2},
    )

    context = only_line(out)[3]
    assert context["id"] == str(run_id)
    assert context["at"] == "2026-11-21T09:00:00+00:00"
    assert context["amount"] == "1.10"
    assert context["file"] == "[2 bytes]"
    assert context["hostile"] == "[unprintable Hostile]"
    assert context["nan"] == "nan"


# Where the message itself has a brace, only JSON mode says where the context begins.
@settings(deadline=None)  # other work on the machine is no failure
@given(
    st.text().filter(lambda text: "{" not in text),
    st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.text()),
)
def test_whatever_is_logged_is_one_line(message: str, context: dict[str, str]) -> None:
    out = opened()

    logging.getLogger("any").info("%s", message, extra={f"x_{k}": v for k, v in context.items()})

    assert only_line(out)[1] == "INFO"


def test_a_record_that_cannot_be_formatted_is_told_in_one_line() -> None:
    out = opened()
    logging.getLogger("theirs").warning("%d items", "many")

    _, level, message, context = only_line(out)
    assert (level, message) == ("WARNING", "A log record could not be written")
    assert context["logger"] == "theirs"
    assert context["error"] == {"type": "TypeError"}
    assert re.fullmatch(r"test_logs\.py:\d+", str(context["where"]))


def test_a_closed_stream_fails_nobody() -> None:
    out = opened()
    out.close()

    log.info("nobody reads this")


def test_a_stream_that_is_not_utf8_gets_escapes() -> None:
    raw = io.BytesIO()
    configure(level="INFO", fmt="text", stream=io.TextIOWrapper(raw, encoding="ascii"))

    log.info("Öğle")

    assert b"[INFO] \\xd6\\u011fle {" in raw.getvalue()


def test_arq_cannot_print_arguments_even_after_its_own_set_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logging.getLogger("arq.worker").info("these loggers exist by then")
    logging.config.dictConfig(default_log_config(verbose=True))

    out = opened("debug")
    for name in ("arq.worker", "arq.jobs", "arq.connections"):
        logging.getLogger(name).info("0.01s → r1:login('bob', password='hunter2')")
    logging.getLogger("aiohttp.access").info("GET /health")
    logging.getLogger("httpx").info("HTTP Request: GET https://x/?api_key=1")
    assert out.getvalue() == ""

    logging.getLogger("arq.worker").warning("job %s expired", "r1")
    assert only_line(out)[1:3] == ("WARNING", "job r1 expired")
    assert capsys.readouterr().err == ""  # where its own handler would write it again


def test_the_level_holds_for_all_and_the_last_configure_wins() -> None:
    out = opened()
    second = opened("ERROR")

    log.warning("no")
    logging.getLogger("any").warning("no")
    log.error("yes")

    assert out.getvalue() == ""
    assert only_line(second)[2] == "yes"


def test_without_a_stream_lines_follow_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="INFO", fmt="text")
    elsewhere, before = io.StringIO(), sys.stdout

    log.info("here")
    sys.stdout = elsewhere
    log.info("there")
    sys.stdout = before

    assert parsed(capsys.readouterr().out.strip())[2] == "here"
    assert only_line(elsewhere)[2] == "there"


def test_an_unknown_level_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="LOG_LEVEL: there is no level 'loud'; choose DEBUG, INFO"):
        configure(level="loud", fmt="text")
