"""Small steps that the storage tests share. No retries anywhere: a wrong status must not be hidden by a second try."""

import base64
import hashlib
from typing import Any

import google_crc32c

ONCE: dict[str, Any] = {"retry": None, "timeout": 60}
"""Options of every call of the client library."""


def write(bucket: Any, name: str, data: bytes = b"1", **options: Any) -> Any:
    blob = bucket.blob(name)
    blob.upload_from_string(data, **ONCE, **options)
    return blob


def read(bucket: Any, name: str, **options: Any) -> Any:
    return bucket.blob(name).download_as_bytes(**ONCE, **options)


def names(bucket: Any, **options: Any) -> list[str]:
    return [blob.name for blob in bucket.list_blobs(**ONCE, **options)]


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
