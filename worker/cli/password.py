"""`deskhand password`: an entry for ADMIN_USERS."""

import sys

import click

from worker.sidecar.access.passwords import SHORTEST, Scrypt, User, checked_password
from worker.sidecar.access.principal import Role


@click.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice([str(role) for role in Role]), default="viewer", show_default=True
)
def password(*, name: str, role: str) -> None:
    """Ask for a password, and print the entry of ADMIN_USERS with which NAME signs in.

    From a pipe it is the first line. Only its hash is printed.
    """
    if sys.stdin.isatty():
        given = click.prompt(
            f"Password ({SHORTEST} characters or more)", hide_input=True, confirmation_prompt=True
        )
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    try:
        entry = str(User(name, Role.parse(role), Scrypt.of(checked_password(given))))
        User.parse(entry)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(entry)
