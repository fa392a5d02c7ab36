"""`deskhand jobs`, `deskhand enqueue`, `deskhand cancel`, `deskhand health`."""

import asyncio
from typing import Any

import click
import httpx
import orjson

from jobs.kit import PayloadError
from worker.cli.tools import (
    AWAY,
    NOT_FOUND,
    connected,
    fail,
    run_async,
    settings_or_exit,
)
from worker.codec import JobFailedError, dumps
from worker.history import cancel as end
from worker.job_table import job_table


@click.command()
def jobs() -> None:
    """The table of all jobs, as in the README."""
    click.echo(job_table())


@click.command()
@click.argument("name")
@click.option("--json", "payload", default="{}", help="The payload as a JSON object.")
@click.option("--wait", type=float, help="Wait so many seconds for the result and print it.")
def enqueue(*, name: str, payload: str, wait: float | None) -> None:
    """Enqueue a run of the job NAME."""
    try:
        data: dict[str, Any] = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        fail(f"--json is not JSON: {error}", 2)
    if not isinstance(data, dict):
        fail("--json is not a JSON object", 2)

    async def command() -> None:
        async with connected() as connections:
            job = await connections.pool.enqueue_job(name, data)
            if job is None:
                raise PayloadError(name, ["a run with this idempotency key exists already"])
            click.echo(job.job_id)
            if wait is not None:
                await _print_result(job, wait)

    run_async(command())


@click.command()
@click.argument("run_ids", nargs=-1, required=True)
@click.option("--reason", default="cancelled by an operator", help="Kept with runs that waited.")
def cancel(*, run_ids: tuple[str, ...], reason: str) -> None:
    """End runs: those that wait at once, those that run within a second."""

    async def command() -> None:
        async with connected() as on:
            told = [
                (run_id, await end(on.pool, on.db, run_id, reason=reason, by="cli"))
                for run_id in run_ids
            ]
        for run_id, what in told:
            click.echo(f"{run_id} {_CANCELLED[what]}")
        if any(what == "gone" for _, what in told):
            raise SystemExit(NOT_FOUND)

    run_async(command())


_CANCELLED = {
    "cancelled": "is cancelled",
    "stopping": "is being stopped",
    "gone": "neither waits nor runs",
}


async def _print_result(job: Any, wait: float) -> None:
    try:
        result = await job.result(timeout=wait, poll_delay=0.1)
    except TimeoutError:
        fail(f"it did not end within {wait:g} s; it goes on")
    except asyncio.CancelledError as error:
        fail(f"cancelled: {error}")
    except JobFailedError as error:
        fail(f"failed: {error}")
    click.echo(dumps({"result": result}).decode())


@click.command()
@click.argument("probe", type=click.Choice(["live", "ready"]), default="ready")
def health(*, probe: str) -> None:
    """Ask the worker on this machine; exit code 0 when it is well. For container probes."""
    settings = settings_or_exit()
    try:
        reply = httpx.get(f"{settings.sidecar_url}/health/{probe}", timeout=5)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fail(f"no answer on port {settings.port}: {type(error).__name__}", AWAY)
    click.echo(reply.text)
    if reply.is_error:
        raise SystemExit(1)
