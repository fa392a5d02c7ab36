"""The runtime: turns declared jobs into running ones; alone knows ARQ and Redis."""

from importlib.metadata import version

__version__ = version("deskhand")
