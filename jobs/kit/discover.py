"""A file in `jobs/` is enough: importing the package makes every job known."""

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import jobs
from jobs.kit.declare import declared
from jobs.kit.job import Job


def discover() -> Mapping[str, Job[Any, Any]]:
    """Import every job module; returns all declared jobs under their names and aliases.

    Raises DeclarationError when one of them is declared wrongly.
    """
    _import_all()
    return declared()


def all_jobs() -> list[Job[Any, Any]]:
    """Each declared job once, by name."""
    by_name = {job.name: job for job in discover().values()}
    return [by_name[name] for name in sorted(by_name)]


@functools.cache
def _import_all() -> None:
    for module in pkgutil.walk_packages(jobs.__path__, prefix="jobs."):
        importlib.import_module(module.name)
