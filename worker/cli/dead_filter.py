"""The options with which every `deskhand dead` command says which letters are meant."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from worker.cli.tools import instant
from worker.dead_letters import STATUSES, Filter

C = TypeVar("C", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--queue", help="Only of this queue."),
    click.option("--job", help="Only of this job, under whatever name of its."),
    click.option("--error", "error_type", help="Only with an error of this type."),
    click.option("--group", "error_group", help="Only of this group: see `dead groups`."),
    click.option("--tenant", "tenant_id", type=click.UUID, help="Only of this tenant."),
    click.option("--text", help="Only with this in the error's message."),
    click.option("--since", callback=instant, help="Died since: 2h (ago), 2026-11-30T12:00."),
    click.option("--until", callback=instant, help="Died before that."),
)
_REASON = "Only with this reason, as in attempts_spent."
_STATUS = click.option("--status", type=click.Choice(STATUSES), default="dead", show_default=True)
_CHANGE = (
    click.option("--all", "is_all", is_flag=True, help="All there are, without a filter."),
    click.option("--dry-run", "is_dry_run", is_flag=True, help="Only say how many."),
)


def filter_options(
    *, has_status: bool, is_change: bool = False, is_reason_taken: bool = False
) -> Callable[[C], C]:
    """The options of a filter; with those that whoever changes letters needs.

    `is_reason_taken`: the command has a `--reason` of its own, and the letter's is spelled out.
    """
    names = ("--dead-reason",) if is_reason_taken else ("--reason", "--dead-reason")
    options = [*_OPTIONS, click.option(*names, "reason", help=_REASON)]
    options += [_STATUS] if has_status else []
    options += _CHANGE if is_change else ()

    def decorate(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def filter_of(options: Mapping[str, Any]) -> Filter:
    """From the options' values. Exits with what is wrong with them."""
    try:
        return Filter(**options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def filter_to_change(
    options: Mapping[str, Any], *, is_all: bool, dead_letter_ids: tuple[int, ...] = ()
) -> Filter | None:
    """None when ids are given instead. Nothing at all is not taken for everything."""
    which = filter_of(options)
    if dead_letter_ids and (is_all or not which.is_everything):
        raise click.UsageError("give ids or a filter, not both")
    if dead_letter_ids:
        return None
    if which.is_everything and not is_all:
        raise click.UsageError("say which: by ids, by a filter, or --all")
    if is_all and not which.is_everything:
        raise click.UsageError("--all and a filter contradict each other")
    return which
