"""Parts of a worker process that work by themselves, and say when they are not well."""

from typing import Protocol

from worker.sidecar.dependency import Check


class Part(Protocol):
    """Something of this process that works by itself: the engine, the scheduler."""

    @property
    def name(self) -> str: ...

    def status(self) -> str | None:
        """Why it is not well, in words for operators; None when it is. Asks nobody else."""


class UnwellError(Exception):
    """A part is not well; the sentence says why."""


def check_of(part: Part) -> Check:
    """A health check that fails while the part is not well."""

    async def check() -> None:
        reason = part.status()
        if reason is not None:
            raise UnwellError(reason)

    return check
