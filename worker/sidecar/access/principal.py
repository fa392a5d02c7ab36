"""Somebody who is known, what they may do, and how they are turned away."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal
from uuid import UUID

from typing_extensions import override

Credential = Literal["local", "token", "password", "jwt", "none"]


class Role(IntEnum):
    """Each may do what those before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @classmethod
    def parse(cls, name: object) -> "Role":
        """Raises ValueError."""
        # Not by way of `upper()`: letters of other alphabets become ASCII by it.
        for role in cls:
            if name == str(role):
                return role
        raise ValueError(f"a role is {', '.join(map(str, cls))}")

    @override
    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. One with a `tenant_id` sees and touches only that tenant's data.

    `ends_at`, in seconds since 1970, is when their credential does.
    """

    name: str
    role: Role
    credential: Credential
    tenant_id: UUID | None = None
    ends_at: float = math.inf


# Who asks where nothing is configured: whoever is on this machine.
LOCAL = Principal("local", Role.ADMIN, "local")
# Who asks for what is open to everybody.
ANYBODY = Principal("anybody", Role.VIEWER, "none")


@dataclass(eq=False)
class RefusedError(Exception):
    """A request is turned away: the HTTP status, a code for programs, a sentence for people."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
