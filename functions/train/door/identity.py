"""Who calls: the bearer token of the request, verified against the issuer's certificates."""

from shared.errors import TransientError
from shared.problems import Refusal, refuse

BEARER = "bearer "


class CertificatesUnavailable(TransientError):
    """The issuer's certificates could not be fetched."""


def require_caller(authorization: str | None, audience: str | None, certs_url: str) -> None:
    """Let a caller pass who shows a token for `audience`; without one the platform in front keeps strangers out.

    Raises Refusal (401) with a sentence, TransientError.
    """
    if audience is None:
        return
    if not authorization or authorization[: len(BEARER)].lower() != BEARER:
        raise _unauthorized("send an OIDC token for this service as 'Authorization: Bearer <token>'")
    _verify(authorization[len(BEARER) :].strip(), audience, certs_url)


def _verify(token: str, audience: str, certs_url: str) -> None:
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    try:
        id_token.verify_token(token, Request(), audience=audience, certs_url=certs_url, clock_skew_in_seconds=10)
    except TransportError as error:
        raise CertificatesUnavailable(
            f"cannot fetch the certificates that tokens are verified with: {error}"
        ) from error
    except (GoogleAuthError, ValueError) as error:  # the library tells a bad signature and a wrong audience only so
        raise _unauthorized(_reason(error, audience)) from None


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
