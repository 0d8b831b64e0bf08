"""Who calls: the bearer token of the request, verified against the issuer's certificates, and whether they may."""

from collections.abc import Collection, Mapping
from typing import Any

from shared.errors import TransientError
from shared.problems import Refusal, refuse

BEARER = "bearer "
ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
"""Google's two spellings of itself (https://developers.google.com/identity/openid-connect/openid-connect)."""


class CertificatesUnavailable(TransientError):
    """The issuer's certificates could not be fetched."""


def require_caller(authorization: str | None, audience: str | None, callers: Collection[str], certs_url: str) -> None:
    """Let a caller pass who shows a token for `audience`, of Google's, for one of the accounts `callers`.

    Without an audience, the platform in front keeps strangers out. Raises Refusal (401, 403), TransientError.
    """
    if audience is None:
        return
    if not authorization or authorization[: len(BEARER)].lower() != BEARER:
        raise _unauthorized("send an OIDC token for this service as 'Authorization: Bearer <token>'")
    require_account(_verified(authorization[len(BEARER) :].strip(), audience, certs_url), callers)


def require_account(claims: Mapping[str, Any], callers: Collection[str]) -> None:
    """Whose the token is: anybody can have one for any audience, so the signature alone says nothing.

    Raises Refusal: 401 where the issuer vouches for nobody, 403 for an account that may not call.
    """
    if claims.get("iss") not in ISSUERS:
        raise _unauthorized("the token is of another issuer; expected one of Google's")
    if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
        raise _unauthorized("the token says no verified e-mail address; ask for one with it (--include-email)")
    if claims["email"] not in callers:
        raise refuse(403, "forbidden", "this account may not call; OIDC_CALLERS lists those that may")


def _verified(token: str, audience: str, certs_url: str) -> Mapping[str, Any]:
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    try:
        claims: Mapping[str, Any] = id_token.verify_token(
            token, Request(), audience=audience, certs_url=certs_url, clock_skew_in_seconds=10
        )
    except TransportError as error:
        raise CertificatesUnavailable(
            f"cannot fetch the certificates that tokens are verified with: {error}"
        ) from error
    except (GoogleAuthError, ValueError) as error:  # the library tells a bad signature and a wrong audience only so
        raise _unauthorized(_reason(error, audience)) from None
    return claims


def _reason(error: Exception, audience: str) -> str:
    """Why, without the token that the library quotes."""
    text = str(error).lower()
    if "expired" in text:
        return "the token has expired; ask the issuer for a new one"
    if "audience" in text:
        return f"the token is for another audience; ask for one for {audience}"
    return "the token is not one that the issuer signed"


def _unauthorized(message: str) -> Refusal:
    return refuse(401, "unauthenticated", message, {"WWW-Authenticate": "Bearer"})
