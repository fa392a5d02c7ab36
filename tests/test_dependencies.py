"""Dependencies are declared, pinned with hashes, and under licences that we may ship (X-10)."""

import re
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
# A pin and its hashes: the lines up to the next one that begins at the left.
PINS = re.split(r"^(?=\S)", LOCK, flags=re.MULTILINE)[1:]
LOCKED = {
    canonicalize_name(name): Version(version)
    for name, version in (re.split(r"==|[\s;]", pin)[:2] for pin in PINS)
}
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [
    Requirement(line) for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines
]
TOOLS = {"dev"}  # extras that are not part of the product

# Permissive: they ask for their notice to be kept. As SPDX spells them, and as older packages do.
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MIT-CMU",
    "PSF-2.0", "3-Clause BSD License", "Apache Software License", "BSD License", "MIT License",
    "Python Software Foundation License",
}  # fmt: skip
EXCEPTIONS = {
    "certifi": {"MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"},  # a list of certificates
    "fontpkg-fira-sans": {"OFL-1.1"},  # a font: free to embed in documents
    "orjson": {"MPL-2.0"},  # weak copyleft, file by file; we change none of its files
}
# domain-libraries.md, section 16: (A)GPL would reach our own code.
KEPT_OUT = {"pymupdf", "pymupdfb", "html2text", "ofxtools", "ghostscript", "python-poppler"}


def runtime() -> set[str]:
    """All that the product installs: its dependencies and extras, and theirs in turn."""
    lines = list(PROJECT["dependencies"])
    for extra in EXTRAS.keys() - TOOLS:
        lines += EXTRAS[extra]
    found: set[tuple[str, str]] = set()
    _follow(lines, "", found)
    return {name for name, _ in found}


def _follow(lines: list[str], extra: str, found: set[tuple[str, str]]) -> None:
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for asked in ("", *requirement.extras):
                key = (canonicalize_name(requirement.name), asked)
                if key not in found:
                    found.add(key)
                    _follow(distribution(requirement.name).requires or [], asked, found)


def licences(package: Distribution) -> set[str]:
    """The names it gives them: an SPDX expression, else trove classifiers, else its own words."""
    metadata = package.metadata
    if "License-Expression" in metadata:
        return set(re.split(r"\s+(?:AND|OR|WITH)\s+|[()\s]+", metadata["License-Expression"])) - {
            ""
        }
    troves = [line for line in metadata.get_all("Classifier", []) if line.startswith("License ::")]
    names = {line.rpartition(" :: ")[2] for line in troves} - {"OSI Approved"}
    return names or {metadata["License"].partition("\n")[0]}


@pytest.mark.parametrize("name", sorted(runtime()))
def test_everything_the_product_installs_may_be_shipped(name: str) -> None:
    assert licences(distribution(name)) <= ALLOWED | EXCEPTIONS.get(name, set())


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_that_is_no_longer_needed_is_removed(name: str) -> None:
    assert name in runtime()
    assert not licences(distribution(name)) <= ALLOWED


def test_what_must_stay_out_is_out() -> None:
    assert not KEPT_OUT & LOCKED.keys()


def test_everything_the_product_installs_is_pinned() -> None:
    assert runtime() <= LOCKED.keys()


def test_every_pin_has_a_hash() -> None:
    hashed = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")

    assert len(PINS) == len(LOCKED) > len(DECLARED)
    assert [pin for pin in PINS if not hashed.search(pin)] == []


def test_the_lock_is_nothing_but_pins_hashes_and_where_they_come_from() -> None:
    """No URL and no index: whoever installs says where from."""
    pin = r"\S+==[^\s;]+( ; [^\\]+)? \\"
    line = re.compile(rf"{pin}|    --hash=sha256:[0-9a-f]{{64}}( \\)?|    #( via)?( .*)?")

    assert [text for text in LOCK.splitlines() if not line.fullmatch(text)] == []
    assert "://" not in LOCK


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_what_is_declared_is_locked_at_a_version_that_fits(requirement: Requirement) -> None:
    version = LOCKED[canonicalize_name(requirement.name)]

    assert requirement.specifier.contains(version, prereleases=True)


@pytest.mark.parametrize(
    ("name", "taken", "refused"), [("redis", "5.3.1", "6.0.0"), ("arq", "0.28.0", "0.29.0")]
)
def test_arq_and_the_redis_client_it_asks_for_are_held(name: str, taken: str, refused: str) -> None:
    (declared,) = (one.specifier for one in DECLARED if one.name == name)

    assert declared.contains(taken)
    assert not declared.contains(refused)
    assert LOCKED[canonicalize_name(name)] in declared
