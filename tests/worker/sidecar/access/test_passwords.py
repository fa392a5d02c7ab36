"""Passwords, as they are kept."""

import subprocess
import sys

import pytest

from worker.settings import SettingsError, load_settings
from worker.sidecar.access.passwords import Scrypt, User, users_of
from worker.sidecar.access.principal import Role

# RFC 7914, section 12: scrypt (P="password", S="NaCl", N=1024, r=8, p=16), cut to 32 bytes.
RFC_7914 = "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
SALT, DIGEST = "c2FsdHNhbHRzYWx0c2FsdA", "a" * 43


def test_it_is_the_scrypt_of_the_rfc() -> None:
    kept = Scrypt(1024, 8, 16, b"NaCl", bytes.fromhex(RFC_7914))

    assert kept.fits("password")
    assert not kept.fits("Password")
    assert not kept.fits("")


def test_what_is_written_is_read_again() -> None:
    user = User("ada@example.com", Role.ADMIN, Scrypt.of("correct horse"))

    (again,) = users_of(f"\n {user} ,\n").values()

    assert again == user
    assert again.password.fits("correct horse")
    assert "horse" not in str(user)


def test_two_who_have_one_password_do_not_show_it() -> None:
    assert str(Scrypt.of("the same one")) != str(Scrypt.of("the same one"))


@pytest.mark.parametrize(
    "entry",
    [
        "ada",
        "ada:admin",
        "ada:admin:plain password",
        "ada:admin:scrypt$1024$8$1$c2FsdA$x",
        f"ada:root:scrypt$1024$8$1${SALT}${DIGEST}",
        f"ada:ADMIN:scrypt$1024$8$1${SALT}${DIGEST}",
        f":admin:scrypt$1024$8$1${SALT}${DIGEST}",
        f"a b:admin:scrypt$1024$8$1${SALT}${DIGEST}",
        f"ada:admin:scrypt$1000$8$1${SALT}${DIGEST}",
        f"ada:admin:scrypt$1$8$1${SALT}${DIGEST}",
        f"ada:admin:scrypt$1024$0$1${SALT}${DIGEST}",
        f"ada:admin:scrypt$1048576$8$1${SALT}${DIGEST}",
        f"ada:admin:scrypt$1024$8$1${SALT}$***",
        f"ada:admin:bcrypt$1024$8$1${SALT}${DIGEST}",
        f"a:admin:scrypt$2$8$1${SALT}${DIGEST},a:viewer:scrypt$2$8$1${SALT}${DIGEST}",
    ],
)
def test_an_entry_that_is_none_stops_the_start_and_is_not_shown(entry: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(admin_users=entry)

    (line,) = refused.value.problems
    assert line.startswith("ADMIN_USERS: ")
    assert SALT not in line
    assert "plain" not in line


@pytest.mark.parametrize("name", ["admin_token", "jwt_secret"])
def test_a_secret_that_can_be_guessed_stops_the_start(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name.upper()}: it has 32 characters or more"):
        load_settings(**{name: "x" * 31})
    load_settings(**{name: "x" * 32})


def test_hosts_are_names_alone() -> None:
    for wrong in ("https://a.example", "a.example:8500", "a b", "*", "a.*"):
        with pytest.raises(SettingsError, match="ADMIN_ALLOWED_HOSTS"):
            load_settings(admin_allowed_hosts=wrong)
    assert load_settings(admin_allowed_hosts="A.example, *.b.c").admin_allowed_hosts == (
        "a.example",
        "*.b.c",
    )


def make_entry(*arguments: str, given: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "worker", "password", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_command_makes_an_entry_that_lets_in() -> None:
    made = make_entry("ada", "--role", "operator", given="s3cret enough\n")

    user = users_of(made.stdout)["ada"]
    assert (made.returncode, user.role) == (0, Role.OPERATOR)
    assert user.password.fits("s3cret enough")
    assert "s3cret" not in made.stdout + made.stderr


@pytest.mark.parametrize(("name", "given"), [("ada", "short"), ("a b", "long enough it is")])
def test_the_command_refuses_what_would_not_do(name: str, given: str) -> None:
    made = make_entry(name, given=f"{given}\n")

    assert (made.returncode, made.stdout) == (2, "")
    assert "characters" in made.stderr or "a name is" in made.stderr
    assert given not in made.stderr


def test_an_entry_holds_nothing_that_a_shell_takes_for_a_variable() -> None:
    entry = str(User("ada", Role.ADMIN, Scrypt(2, 1, 1, b"s" * 16, b"d" * 32)))

    assert "$" not in entry
    assert User.parse(entry) == User.parse(entry.replace("scrypt:", "scrypt$"))
