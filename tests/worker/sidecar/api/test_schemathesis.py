"""Whatever fits the description of the API, or just does not, gets an answer that it describes."""

import asyncio
import json
import sys
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.worker.dead_letters.conftest import MakeLetter
from tests.worker.dead_letters.conftest import make_letter as make_letter  # noqa: PLC0414 - a fixture
from tests.worker.history.conftest import Remember
from tests.worker.history.conftest import remember as remember  # noqa: PLC0414 - a fixture
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import (
    ADMIN_TOKEN,
    CREDENTIALS,
    Serve,
    basic,
    bearer,
    tenant_token,
    token,
)
from worker.enqueuer import Pool
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


FUZZED = ("--phases", "examples,coverage,fuzzing", "--max-examples", "20")
COVERED = ("--phases", "examples,coverage")
RUN_ID = "daily 2026-11-22 ğ"  # what slashes become is asked in test_runs.py
# Who asks, and how much.
CALLERS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "admin": (bearer(ADMIN_TOKEN), FUZZED),
    "operator": (basic("ayse"), COVERED),
    "viewer": (bearer(token("viewer")), COVERED),
    "tenant's operator": (tenant_token(uuid4()), COVERED),
    "nobody": ({"X-Requested-With": "test"}, COVERED),
}


@pytest.mark.timeout(100)
@pytest.mark.parametrize("caller", CALLERS)
async def test_every_answer_is_one_that_the_description_has(
    serve: Serve,
    make_letter: MakeLetter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caller: str,
) -> None:
    """Who is let in is what test_access.py asks; here all kinds of things are asked for."""
    monkeypatch.setattr(auditing, "MOST_SECONDS", 0.2)  # of a replay at a slow pace
    http = await serve(**CREDENTIALS)
    for number in range(3):
        await make_letter(job=api_jobs.greet.name, payload={"name": f"{number}"})

    await ask(http, tmp_path, *CALLERS[caller])


@pytest.mark.timeout(100)
async def test_so_it_is_of_what_is_there(
    serve: Serve,
    pool: Pool,
    remember: Remember,
    make_letter: MakeLetter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody guesses the ids of runs."""
    monkeypatch.setattr(auditing, "MOST_SECONDS", 0.2)
    http = await serve(**CREDENTIALS)
    await remember(run_id=RUN_ID)
    for number in range(30):
        await pool.enqueue(api_jobs.greet, {"name": f"{number}"})
    letter_id = await make_letter(job=api_jobs.greet.name, payload={"name": "Ada"})
    known = {"run_id": RUN_ID, "queue": "default", "dead_letter_id": letter_id}
    lines = [f'"path.{name}" = {json.dumps(value)}' for name, value in known.items()]
    (tmp_path / "schemathesis.toml").write_text("\n".join(["[parameters]", *lines]))

    await ask(http, tmp_path, bearer(ADMIN_TOKEN), COVERED)


async def ask(
    http: httpx.AsyncClient, cwd: Path, headers: dict[str, str], options: tuple[str, ...]
) -> None:
    """Ask for whatever the description says, and a little more."""
    described = (await http.get("/openapi.json", headers=bearer(ADMIN_TOKEN))).content
    (cwd / "openapi.json").write_bytes(described)
    schemathesis = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        "openapi.json",
        *("--url", str(http.base_url.join("/"))),
        *(f"--header={name}: {value}" for name, value in headers.items()),
        *("--checks", ",".join(CHECKS)),
        *options,
        *("--exclude-path", "/api/v1/events"),  # it does not end
        *("--seed", "1"),
        "--no-color",
        cwd=cwd,
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
