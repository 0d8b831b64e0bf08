"""Large and unusual transfers, through the real client library."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.cloud.storage import transfer_manager
from google.oauth2 import service_account

from tests.contract.objects import ONCE, crc32c, md5, names, read, write
from tests.local_storage import LocalStorage

MIB = 2**20


@pytest.fixture(scope="module")
def signer() -> Any:
    """A service account with a key that was made up just now."""
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return service_account.Credentials.from_service_account_info(
        {
            "type": "service_account",
            "client_email": "signer@local.iam.gserviceaccount.com",
            "private_key": text,
            "token_uri": "http://127.0.0.1:1/token",
        }
    )


def test_a_resumable_upload_in_chunks_arrives_whole(bucket: Any) -> None:
    data = os.urandom(20 * MIB)
    blob = bucket.blob("big", chunk_size=8 * MIB)
    blob.upload_from_file(BytesIO(data), size=len(data), checksum="crc32c", **ONCE)
    found = bucket.get_blob("big", **ONCE)
    assert (found.size, found.md5_hash, found.crc32c) == (len(data), md5(data), crc32c(data))
    assert read(bucket, "big") == data


def test_a_large_file_is_uploaded_resumably_by_itself(bucket: Any) -> None:
    data = os.urandom(9 * MIB)
    bucket.blob("big").upload_from_file(BytesIO(data), **ONCE)
    assert read(bucket, "big") == data


def test_ranges_are_read_from_anywhere(bucket: Any) -> None:
    data = os.urandom(6 * MIB)
    blob = write(bucket, "big", data)
    assert blob.download_as_bytes(start=100, end=199, checksum=None, **ONCE) == data[100:200]
    assert blob.download_as_bytes(start=len(data) - 10, checksum=None, **ONCE) == data[-10:]
    with blob.open("rb", chunk_size=MIB) as file:
        file.seek(5 * MIB + 3)
        assert file.read(10) == data[5 * MIB + 3 :][:10]


def test_a_file_of_unknown_size_is_written_as_it_grows(bucket: Any) -> None:
    with bucket.blob("stream").open("wb", chunk_size=256 * 1024, **ONCE) as file:
        for number in range(5):
            file.write(bytes([number]) * 300_000)
    assert read(bucket, "stream") == b"".join(bytes([number]) * 300_000 for number in range(5))


def test_signed_urls_read_and_write(bucket: Any, storage: LocalStorage, signer: Any) -> None:
    def signed(name: str, method: str) -> str:
        url: str = bucket.blob(name).generate_signed_url(
            version="v4", expiration=600, method=method, credentials=signer, api_access_endpoint=storage.http_url
        )
        return url

    write(bucket, "a/one", b"hello")
    answer = requests.get(signed("a/one", "GET"), timeout=30)
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert requests.put(signed("a/two", "PUT"), data=b"PUT!", timeout=30).status_code == 200
    assert read(bucket, "a/two") == b"PUT!"


def test_the_transfer_manager_uploads_in_parallel(bucket: Any, tmp_path: Path) -> None:
    files = [f"f{number}" for number in range(10)]
    for name in files:
        (tmp_path / name).write_bytes(b"x" * 1000)
    results = transfer_manager.upload_many_from_filenames(
        bucket, files, source_directory=str(tmp_path), blob_name_prefix="tm/", worker_type="thread", max_workers=4
    )
    assert [result for result in results if isinstance(result, Exception)] == []
    assert names(bucket, prefix="tm/") == [f"tm/{name}" for name in files]
