"""`deskhand dead …`: runs that were given up on."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import click

from jobs.kit import discover
from worker.cli.dead_filter import filter_of, filter_options
from worker.cli.tools import connected, run_async
from worker.dead_letters import (
    SAMPLE,
    Attempt,
    Cursor,
    DeadLetter,
    Group,
    GroupCursor,
    attempts_of,
    get_dead_letter,
    list_dead_letters,
    list_groups,
)
from worker.telemetry.redaction import redact

_HIDDEN = "[hidden]"
_SHOWN = 100  # characters of a message, on a line


C = TypeVar("C", Cursor, GroupCursor)


@click.group()
def dead() -> None:
    """Look after dead letters."""


def _cursor(kind: type[C]) -> Callable[[click.Context, click.Parameter, str | None], C | None]:
    def parse(_: click.Context, __: click.Parameter, value: str | None) -> C | None:
        try:
            return None if value is None else kind.parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return parse


def _tell_next(found: Sequence[DeadLetter] | Sequence[Group], limit: int) -> None:
    if not found:
        click.echo("no dead letters")
    elif len(found) == limit:
        click.echo(f"there may be more: --before {found[-1].cursor}", err=True)


@dead.command("list")
@filter_options(has_status=True)
@click.option("--before", callback=_cursor(Cursor), help="Where the page before this one ended.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(*, before: Cursor | None, limit: int, as_json: bool, **options: Any) -> None:
    """Newest first."""
    which = filter_of(options)

    async def command() -> None:
        async with connected() as on:
            letters = await list_dead_letters(on.db, which, before=before, limit=limit)
        for letter in letters:
            as_fields = {**_shown(letter), "cursor": str(letter.cursor)}
            click.echo(_to_json(as_fields) if as_json else _line(letter))
        if not as_json:
            _tell_next(letters, limit)

    run_async(command())


@dead.command()
@filter_options(has_status=True)
@click.option(
    "--before", callback=_cursor(GroupCursor), help="Where the page before this one ended."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def groups(*, before: GroupCursor | None, limit: int, as_json: bool, **options: Any) -> None:
    """Alike errors together, those with most letters first."""
    which = filter_of(options)

    async def command() -> None:
        async with connected() as on:
            found, is_partial = await list_groups(on.db, which, before=before, limit=limit)
        for group in found:
            as_fields = {**asdict(group), "cursor": str(group.cursor), "is_partial": is_partial}
            click.echo(_to_json(as_fields) if as_json else _group(group))
        if is_partial:
            click.echo(f"counted: the newest {SAMPLE} letters of this filter", err=True)
        if not as_json:
            _tell_next(found, limit)

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
    return {**asdict(letter), "payload": redact(payload), "headers": redact(letter.headers)}


def _group(group: Group) -> str:
    return (
        f"{group.error_group}  {group.letters:8}  {group.first_at:%Y-%m-%d %H:%M:%S} to "
        f"{group.last_at:%Y-%m-%d %H:%M:%S}  {group.job:36}  {group.error_type or ''}: "
        f"{(group.template or '')[:_SHOWN]}  (as {group.example_id})"
    )


def _attempt(attempt: Attempt) -> str:
    head = (
        f"\nattempt {attempt.attempt}: {attempt.outcome} at {attempt.ended_at:%Y-%m-%d %H:%M:%S} "
        f"on {attempt.worker}"
    )
    log = f"{attempt.log}\n" if attempt.log else ""
    return f"{head}\n{log}{attempt.traceback or attempt.error_message or ''}"


def _to_json(value: dict[str, Any]) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
