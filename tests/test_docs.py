"""README, CHANGELOG and Makefile say what is so."""

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from worker import __version__

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
# A rule's line starts with its target; `.PHONY` and variables do not look like this.
TARGETS = re.findall(r"^([a-z][a-z-]*):(?!=)(.*)$", MAKEFILE, re.MULTILINE)


def output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def job_table() -> str:
    """Made in a process of its own, because tests register jobs in this one."""
    return output(sys.executable, "-m", "worker", "jobs")


def test_the_readme_has_the_table_of_the_jobs_that_there_are(job_table: str) -> None:
    assert job_table.strip() in README, "run `make docs`"


def test_the_table_has_one_row_for_each_file_that_is_a_job(job_table: str) -> None:
    files = sorted(
        f"{file.parent.name}.{file.stem}"
        for file in (ROOT / "jobs").glob("*/*_*.py")
        if not file.stem.startswith("_") and file.parent.name != "kit"
    )

    assert re.findall(r"^\| `([a-z_.]+)` \|", job_table, re.MULTILINE) == files


def test_the_job_that_the_readme_adds_works_as_it_is_typed(tmp_path: Path) -> None:
    """In a copy of the tree, by a new user who types both files and changes nothing else."""
    for name in ("worker", "jobs", "clients", "tests", "pyproject.toml"):
        copy = partial(shutil.copytree, ignore=shutil.ignore_patterns("__pycache__"))
        (copy if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    blocks = re.findall(r"```python\n# ((?:jobs|tests)/\S+)\n(.*?)```", README, re.DOTALL)
    for path, code in blocks:
        assert not (tmp_path / path).exists()
        (tmp_path / path).write_text(code)
    source, test = (path for path, _ in blocks)

    for command in (
        ("ruff", "check", source, test),
        ("ruff", "format", "--check", source, test),
        ("pytest", "-q", test),
        ("pytest", "-q", "tests/test_architecture.py", "-k", "send_thanks"),
    ):
        done = subprocess.run(
            (sys.executable, "-m", *command),
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["make run", "make test"])
def test_the_readme_shows_the_two_commands(command: str) -> None:
    blocks = re.findall(r"^```.*?^```", README, re.MULTILINE | re.DOTALL)

    assert any(re.search(rf"^(\$ )?{command}\b", block, re.MULTILINE) for block in blocks)


def test_every_make_target_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))

    assert {"run", "test"} <= named <= {name for name, _ in TARGETS}


def test_the_changelog_has_an_entry_for_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()

    titles = re.findall(r"^## \[?([^\]\s]+)", changelog, re.MULTILINE)
    assert {__version__, "Unreleased"} & set(titles)


@pytest.mark.parametrize(("target", "rest"), TARGETS, ids=[target for target, _ in TARGETS])
def test_every_make_target_says_what_it_is_for(target: str, rest: str) -> None:
    assert re.search(r" ## \w.+", rest)
    assert re.search(rf"^\.PHONY:.*\b{target}\b", MAKEFILE, re.MULTILINE)


def test_make_help_prints_every_target_with_its_line() -> None:
    lines = output("make", "--no-print-directory", "help").splitlines()

    expected = [(target, rest.partition("## ")[2]) for target, rest in TARGETS]
    assert [tuple(line.split(maxsplit=1)) for line in lines] == expected


def test_make_alone_is_make_help() -> None:
    assert output("make", "--no-print-directory") == output("make", "--no-print-directory", "help")
