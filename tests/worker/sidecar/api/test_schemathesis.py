"""Whatever fits the description of the API, or just does not, gets an answer that it describes."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.worker.dead_letters.conftest import MakeLetter
from tests.worker.dead_letters.conftest import make_letter as make_letter  # noqa: PLC0414 - a fixture
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import ADMIN_TOKEN, CREDENTIALS, Serve
from worker.sidecar.api import auditing

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "use_after_free",
)


@pytest.mark.timeout(100)
async def test_every_answer_is_one_that_the_description_has(
    serve: Serve, make_letter: MakeLetter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is let in is what test_access.py asks; here somebody is, who asks all kinds of things."""
    monkeypatch.setattr(auditing, "MOST_SECONDS", 0.2)  # of a replay at a slow pace
    http = await serve(**CREDENTIALS)
    for number in range(3):
        await make_letter(job=api_jobs.greet.name, payload={"name": f"{number}"})
    schemathesis = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{str(http.base_url).rstrip('/')}/openapi.json",
        *("-H", f"Authorization: Bearer {ADMIN_TOKEN}"),
        *("--checks", ",".join(CHECKS)),
        *("--phases", "examples,coverage,fuzzing"),
        *("--exclude-path", "/api/v1/events"),  # it does not end
        *("--max-examples", "20"),
        *("--seed", "1"),
        "--no-color",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(90):
            told, _ = await schemathesis.communicate()
    finally:
        if schemathesis.returncode is None:
            schemathesis.kill()

    assert schemathesis.returncode == 0, told.decode()
    assert b"Tested:" in told
