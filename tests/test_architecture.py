"""What neither the type checker nor the linter can say about this house (design.md, section 2)."""

import ast
import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ("worker", "jobs", "clients")
FILES = sorted(file for top in (*HOUSE, "tests") for file in (ROOT / top).rglob("*.*"))
PYTHON = [file for file in FILES if file.suffix == ".py"]
SOURCE = [file for file in PYTHON if ROOT / "tests" not in file.parents]
WRITTEN = [file for file in FILES if file.suffix in (".py", ".lua", ".sql", ".j2", ".yml", ".yaml")]
DOMAINS = {path.parent for path in (ROOT / "jobs").glob("*/__init__.py")} - {ROOT / "jobs" / "kit"}
IN_DOMAINS = sorted(file for domain in DOMAINS for file in domain.rglob("[!_]*.py"))
TOP_LEVEL = {
    "pyproject.toml", "README.md", "Dockerfile", "docker-compose.yml", "Makefile", *HOUSE, "tests",
    "LICENSE", "CHANGELOG.md", "SECURITY.md", "requirements.lock",
}  # fmt: skip
# Parts of the runtime that keep tables of their own.
WITH_TABLES = (
    "dead_letters/changes",
    "ledger/failures",
    "ledger/rows",
    "ledger/ticks",
    "migrate",
    "outbox/troubles",
    "schedules/figures",
    "schedules/reports",
    "schedules/views",
)
WITH_SQL = {*(ROOT / "worker" / f"{name}.py" for name in WITH_TABLES)}
WITHOUT_SQL = [file for file in SOURCE if file.name != "queries.py" and file not in WITH_SQL]
SQL = re.compile(
    r"\s*(select\s(?!1\s*$)|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|with\s+\w+\s+as\s"
    r"|(create|alter|drop|truncate)\s+(table|database|schema|index|view)\s)",  # not `select 1`
    re.IGNORECASE,
)
UNFINISHED = re.compile("[T]ODO|[F]IXME|[N]otImplementedError")  # in brackets, or it finds itself
EXCEPTION = re.compile(r"#\s*(noqa|type:\s*ignore)")
WITH_REASON = re.compile(
    r"# (noqa: [A-Z]+\d+(, [A-Z]+\d+)* - |type: ignore\[[a-z,-]+\]\s+# )\S[^#]*"
)


def every(files: list[Path]) -> pytest.MarkDecorator:
    ids = [file.relative_to(ROOT).as_posix() for file in files]
    return pytest.mark.parametrize("file", files, ids=ids)


def functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds)]


@every(SOURCE)
def test_a_file_fits_in_a_head_and_a_function_on_a_screen(file: Path) -> None:
    """Admired code bases sin in their files: one or two always got away, so both are counted."""
    lengths = {one.name: (one.end_lineno or 0) - one.lineno + 1 for one in functions(file)}

    assert len(file.read_text().splitlines()) <= 300
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}


@every(IN_DOMAINS)
def test_a_job_is_found_from_its_name(file: Path) -> None:
    """A name in a log line leads to its file: `<domain>/<verb_noun>.py` declares it and no other.

    A module right in a domain whose name is one word (`core`, `queries`) is not a job.
    """
    declared = [
        (function.name, decorator.args[0].value)
        for function in functions(file)
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("job")
        if isinstance(decorator.args[0], ast.Constant)
    ]

    is_job = file.parent in DOMAINS and "_" in file.stem
    assert declared == ([(file.stem, f"{file.parent.name}.{file.stem}")] if is_job else [])


@every(IN_DOMAINS)
def test_a_module_of_a_domain_has_its_tests_in_the_same_place(file: Path) -> None:
    """The tests are the same tree once more, so nobody searches for one, or forgets one."""
    tests = ROOT / "tests" / file.relative_to(ROOT).with_name(f"test_{file.name}")

    assert tests.is_file()
    assert [one for one in functions(tests) if one.name.startswith("test_")]


@every(WITHOUT_SQL)
def test_a_statement_is_in_a_queries_module(file: Path) -> None:
    """There it is beside its parameters and its result type, and takes the tenant first."""
    nodes = ast.walk(ast.parse(file.read_text()))
    strings = [str(node.value) for node in nodes if isinstance(node, ast.Constant)]

    assert [string for string in strings if SQL.match(string)] == []


@every(WRITTEN)
def test_nothing_is_unfinished(file: Path) -> None:
    """What is left to do stands in an issue, where somebody sees it; a stub is a defect."""
    assert UNFINISHED.findall(file.read_text()) == []


@every(PYTHON)
def test_an_exception_to_a_rule_has_its_reason_beside_it(file: Path) -> None:
    """Without one nobody dares to remove it, and the next one copies it."""
    tokens = tokenize.generate_tokens(io.StringIO(file.read_text()).readline)
    exceptions = [one.string for one in tokens if EXCEPTION.match(one.string)]

    assert [comment for comment in exceptions if not WITH_REASON.match(comment)] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout: nothing is tracked")
def test_the_top_level_stays_as_small_as_it_is() -> None:
    """It is the first screen anybody sees; what grows does so inside the house."""
    command = ["git", "-c", "safe.directory=*", "ls-files"]
    tracked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    names = {path.partition("/")[0] for path in tracked.splitlines()}

    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL
