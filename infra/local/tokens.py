"""OpenID Connect tokens as Google's: signed by a key that stays in the state folder, verifiable with its certificate.

The scheduler publishes the certificate in the shape of googleapis.com/oauth2/v1/certs, so that google-auth verifies a
local token and a real one with the same code.
"""

import hashlib
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt

from shared.errors import PipelineError

ISSUER = "https://accounts.google.com"
LIFETIME_SECONDS = 3600
KEY_FILE = "oidc-key.pem"


class UnusableKey(PipelineError):
    """The key file is there, but is not a private RSA key."""


class SigningKey:
    """Signs tokens. The same state folder always gives the same key, also to several processes that start at once."""

    def __init__(self, private: RSAPrivateKey) -> None:
        self._private = private
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.id = hashlib.sha256(public).hexdigest()[:40]
        self._signer = crypt.RSASigner.from_string(_pem(private), key_id=self.id)

    @classmethod
    def of(cls, state: Path) -> "SigningKey":
        """The key of a state folder, made at first use with mode 600. Raises UnusableKey."""
        path = state / KEY_FILE
        if not path.exists():
            _create(path)
        try:
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise UnusableKey(f"{path} is not a private key in PEM format: delete it, a new one is made") from error
        if not isinstance(private, RSAPrivateKey):
            raise UnusableKey(f"{path} is not an RSA key: delete it, a new one is made")
        return cls(private)

    def token(self, audience: str, email: str) -> str:
        """A token for `audience` that says the caller is the service account `email`."""
        now = int(time.time())
        subject = str(int(hashlib.sha256(email.encode()).hexdigest(), 16))[:21]
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "azp": subject,
            "sub": subject,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        encoded: bytes = jwt.encode(self._signer, claims)
        return encoded.decode("ascii")

    def certificates(self) -> dict[str, str]:
        """Key id to PEM certificate."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local-oidc-signer")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .sign(self._private, hashes.SHA256())
        )
        return {self.id: certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")}


def _create(path: Path) -> None:
    """Write a whole key or none: a second process that came first wins, and its key is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{KEY_FILE}-")  # mkstemp gives mode 600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_pem(generate_private_key(public_exponent=65537, key_size=2048)))
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()


def _pem(private: RSAPrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
