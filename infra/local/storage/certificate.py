"""A certificate that the local storage makes for itself, since gsutil speaks nothing but TLS."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 800
RENEW_DAYS = 30


def certificate(folder: Path) -> tuple[Path, Path]:
    """The certificate and its key in `folder`, made anew if they are missing or soon expire."""
    certificate_file, key_file = folder / "tls.pem", folder / "tls-key.pem"
    if not (key_file.is_file() and _is_fresh(certificate_file)):
        key = ec.generate_private_key(ec.SECP256R1())
        key_file.touch(mode=0o600)
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        certificate_file.write_bytes(_self_signed(key).public_bytes(Encoding.PEM))
    return certificate_file, key_file


def _is_fresh(file: Path) -> bool:
    try:
        expires = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (FileNotFoundError, ValueError):
        return False
    return expires > datetime.now(UTC) + timedelta(days=RENEW_DAYS)


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
