"""The table of ARQ's defects in the engine's README is whole, and names tests that there are."""

import re
from pathlib import Path

from worker.engine import worker

TESTS = Path(__file__).parents[3]
README = (Path(worker.__file__).parent / "README.md").read_text()
ROWS = re.findall(r"^\| D(\d+) \| (.+?) \| (.+) \| (.+?) \|$", README, re.MULTILINE)


def test_every_defect_has_its_row() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 49))


def test_a_row_names_tests_that_there_are_or_says_what_is_kept() -> None:
    there_are = {
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }

    named = {number: re.findall(r"`(\w+)`", tests) for number, *_, tests in ROWS}
    assert {name for names in named.values() for name in names} <= there_are
    untested = [number for number, names in named.items() if not names]
    assert untested == [number for number, _, here, _ in ROWS if here.startswith("kept: ")]


def test_every_test_that_fails_on_arq_is_in_the_row_of_its_defect() -> None:
    rows = {f"D{number}": tests for number, *_, tests in ROWS}
    marked = [
        (number, name)
        for file in Path(__file__).parent.glob("test_*.py")
        for numbers, name in re.findall(
            r'^@defect\(\s*"(D[^"]+)".*?^async def (test_\w+)',
            file.read_text(),
            re.MULTILINE | re.DOTALL,
        )
        for number in numbers.split(", ")
    ]

    assert len(marked) > 50
    assert [one for one in marked if f"`{one[1]}`" not in rows[one[0]]] == []
