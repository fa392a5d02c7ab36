"""A file in `jobs/` is enough: importing the package makes every job known."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import jobs
from jobs.kit.job import Job, declared


def discover() -> Mapping[str, Job[Any, Any]]:
    """Import every job module; returns all declared jobs under their names and aliases.

    Raises DeclarationError when one of them is declared wrongly.
    """
    for module in pkgutil.walk_packages(jobs.__path__, prefix="jobs."):
        importlib.import_module(module.name)
    return declared()
