"""`deskhand dead …`: runs that were given up on."""

import json
from dataclasses import asdict
from typing import Any

import click

from jobs.kit import discover
from worker.cli.tools import connected, run_async
from worker.dead_letters import (
    Attempt,
    DeadLetter,
    attempts_of,
    discard,
    get_dead_letter,
    list_dead_letters,
    replay,
)
from worker.telemetry.redaction import redact

_HIDDEN = "[hidden]"


@click.group()
def dead() -> None:
    """Look after dead letters."""


@dead.command("list")
@click.option("--queue")
@click.option("--job")
@click.option("--status", type=click.Choice(["dead", "replayed", "discarded"]), default="dead")
@click.option("--before", type=int, help="Older than this id: the next page.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(*, as_json: bool, **filters: Any) -> None:
    """Newest first."""

    async def command() -> None:
        async with connected() as connections:
            letters = await list_dead_letters(connections.db, **filters)
        for letter in letters:
            click.echo(_to_json(_shown(letter)) if as_json else _line(letter))
        if not letters and not as_json:
            click.echo("no dead letters")

    run_async(command())


@dead.command()
@click.argument("dead_letter_id", type=int)
@click.option("--payload", "show_payload", is_flag=True, help="Show the payload as it is.")
@click.option("--json", "as_json", is_flag=True)
def show(*, dead_letter_id: int, show_payload: bool, as_json: bool) -> None:
    """Everything about one, with the error of every attempt."""

    async def command() -> None:
        async with connected() as connections:
            letter = await get_dead_letter(connections.db, dead_letter_id)
            attempts = await attempts_of(connections.db, letter.run_id)
        fields = asdict(letter) if show_payload else _shown(letter)
        if as_json:
            click.echo(_to_json({**fields, "attempts": [asdict(a) for a in attempts]}))
            return
        for name, value in fields.items():
            click.echo(f"{name:18} {value}")
        for attempt in attempts:
            click.echo(_attempt(attempt))

    run_async(command())


@dead.command("replay")
@click.argument("dead_letter_ids", type=int, nargs=-1, required=True)
def replay_(*, dead_letter_ids: tuple[int, ...]) -> None:
    """Run them again as new runs."""

    async def command() -> None:
        async with connected() as connections:
            for dead_letter_id in dead_letter_ids:
                run_id = await replay(connections.db, connections.pool, dead_letter_id)
                click.echo(f"{dead_letter_id} runs again as {run_id}")

    run_async(command())


@dead.command("discard")
@click.argument("dead_letter_ids", type=int, nargs=-1, required=True)
@click.option("--reason", required=True, help="Kept with it.")
def discard_(*, dead_letter_ids: tuple[int, ...], reason: str) -> None:
    """Put them away for good."""

    async def command() -> None:
        async with connected() as connections:
            for dead_letter_id in dead_letter_ids:
                await discard(connections.db, dead_letter_id, reason=reason)
                click.echo(f"{dead_letter_id} discarded")

    run_async(command())


def _line(letter: DeadLetter) -> str:
    return (
        f"{letter.dead_letter_id:6}  {letter.died_at:%Y-%m-%d %H:%M:%S}  {letter.queue:12}  "
        f"{letter.job:36}  {letter.reason:16}  {letter.error_type or ''}"
    )


def _shown(letter: DeadLetter) -> dict[str, Any]:
    """Its fields; of the payload neither what the job calls sensitive nor what looks personal."""
    job = discover().get(letter.job)
    hidden = job.sensitive if job else frozenset()
    payload = letter.payload and {
        name: _HIDDEN if name in hidden else value for name, value in letter.payload.items()
    }
    return {**asdict(letter), "payload": redact(payload)}


def _attempt(attempt: Attempt) -> str:
    head = (
        f"\nattempt {attempt.attempt}: {attempt.outcome} at {attempt.ended_at:%Y-%m-%d %H:%M:%S} "
        f"on {attempt.worker}"
    )
    return f"{head}\n{attempt.traceback or attempt.error_message or ''}"


def _to_json(value: dict[str, Any]) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
