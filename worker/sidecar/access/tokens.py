"""Bearer tokens: the one of ADMIN_TOKEN, and JSON Web Tokens that JWT_SECRET signs."""

from hmac import compare_digest
from uuid import UUID

import jwt

from worker.sidecar.access.principal import Principal, Role

_LEEWAY = 10  # seconds that two clocks may differ
_NAME_LIMIT = 100  # characters
_LONGEST = 8192  # characters of a token
_LAST_SECOND = 253_402_300_799  # since 1970, of the year 9999


def principal_of_token(
    token: str, *, admin_token: str | None, jwt_secret: str | None
) -> Principal | None:
    """Whose token it is; None for nobody's.

    A JSON Web Token (RFC 7519) is signed with HS256 and has `exp` and `role`; `tenant_id` binds it
    to a tenant, and `sub` says whose it is. One that says `tenant_id` and not which is nobody's:
    whoever issued it meant to bind it.
    """
    given = token.encode("utf-8", "surrogateescape")
    if admin_token is not None and compare_digest(given, admin_token.encode()):
        return Principal("admin-token", Role.ADMIN, "token")
    if jwt_secret is None or len(token) > _LONGEST:
        return None
    try:
        claims = jwt.decode(
            token,
            jwt_secret,
            algorithms=["HS256"],
            leeway=_LEEWAY,
            # Whom it is for is not ours to say: whoever issues tokens has words of their own.
            options={"require": ["exp"], "verify_aud": False},
        )
        for instant in ("exp", "nbf", "iat"):
            _check_seconds(claims.get(instant, 0))
        role = Role.parse(claims.get("role"))
        tenant_id = UUID(claims["tenant_id"]) if "tenant_id" in claims else None
    # Foreign claims: a number may have no end, a tenant be no text, and nesting no floor.
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None
    name = "".join(char for char in str(claims.get("sub", "")) if char.isprintable())
    return Principal(f"jwt:{name[:_NAME_LIMIT]}", role, "jwt", tenant_id, claims["exp"] + _LEEWAY)


def _check_seconds(value: object) -> None:
    """PyJWT takes texts and any number of digits, too. Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("an instant is a number")
    if not 0 <= value <= _LAST_SECOND:
        raise ValueError("an instant is in the years 1970 to 9999")
