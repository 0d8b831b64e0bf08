"""MD5 and CRC32C as Cloud Storage writes them (base64), and how they are compared with what a client sent."""

import base64
import binascii
from collections.abc import Mapping

import google_crc32c

from infra.local.storage.faults import invalid

_POLYNOMIAL = 0x82F63B78


def crc32c_text(value: int) -> str:
    """The checksum as the API writes it: four bytes, the highest first, in base64."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def crc32c_number(text: str) -> int:
    """The checksum that the API writes as `text`."""
    return int.from_bytes(base64.b64decode(text), "big")


def extend(crc: int, data: bytes) -> int:
    """The checksum of bytes whose checksum is `crc`, followed by `data`."""
    extended: int = google_crc32c.extend(crc, data)
    return extended


def combine(first: int, second: int, second_size: int) -> int:
    """CRC32C of two byte strings, one after the other, from their own; as in zlib, by squaring an operator."""
    operator = _square(_square([_POLYNOMIAL, *(1 << bit for bit in range(31))]))
    while second_size:
        operator = _square(operator)
        if second_size & 1:
            first = _times(operator, first)
        second_size >>= 1
    return first ^ second


def _times(matrix: list[int], vector: int) -> int:
    total = 0
    for row in matrix:
        if not vector:
            break
        if vector & 1:
            total ^= row
        vector >>= 1
    return total


def _square(matrix: list[int]) -> list[int]:
    return [_times(matrix, row) for row in matrix]


def expected_checksums(fields: Mapping[str, object], headers: Mapping[str, str]) -> dict[str, str]:
    """What the client says its bytes amount to, from the resource and from `x-goog-hash` and `content-md5`."""
    claims: dict[str, str] = {}
    for kind, field in (("md5", "md5Hash"), ("crc32c", "crc32c")):
        if isinstance(value := fields.get(field), str):
            claims[kind] = value
    for part in headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind in ("md5", "crc32c"):
            claims[kind] = value
    if "content-md5" in headers:
        claims["md5"] = headers["content-md5"]
    return claims


def verify(claims: Mapping[str, str], *, md5: str, crc32c: str) -> None:
    """Raise a 400 where a claim is not base64 or does not hold."""
    for kind, label, actual in (("md5", "MD5", md5), ("crc32c", "CRC32C", crc32c)):
        claimed = claims.get(kind)
        if claimed is None or claimed == actual:
            continue
        try:
            base64.b64decode(claimed, validate=True)
        except binascii.Error as error:
            raise invalid(f"The {label} hash is not base64.") from error
        raise invalid(f'Provided {label} hash "{claimed}" doesn\'t match calculated {label} hash "{actual}".')
