"""Who calls: the scheduler's OIDC token, verified where the platform in front does not do so already."""

from shared.errors import PipelineError


class NotAuthorized(PipelineError):
    """The call carries no token, or one that is not for this function."""


def require_token(authorization: str | None, audience: str | None, certs_url: str) -> None:
    """Check the bearer token against `audience`; without an audience every caller passes. Raises NotAuthorized."""
    if audience is None:
        return
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthorized(
            "an OIDC token is needed; run the scheduler's job instead of calling this function yourself"
        )
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    try:
        id_token.verify_token(token, Request(), audience=audience, certs_url=certs_url)
    except (GoogleAuthError, ValueError) as error:
        raise NotAuthorized(f"the OIDC token does not verify for this function: {type(error).__name__}") from None
