"""One storage server for the whole suite, and a fresh bucket for every test."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.local_storage import LocalStorage, running_storage


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStorage]:
    with running_storage(tmp_path_factory.mktemp("storage")) as server:
        yield server


@pytest.fixture
def client(storage: LocalStorage) -> Iterator[Any]:
    client = storage.client()
    yield client
    client.close()


@pytest.fixture
def bucket(client: Any) -> Any:
    return client.create_bucket(bucket_name(), retry=None)


@pytest.fixture
def versioned(client: Any) -> Any:
    bucket = client.bucket(bucket_name())
    bucket.versioning_enabled = True
    return client.create_bucket(bucket, retry=None)


@pytest.fixture
def http() -> Iterator[requests.Session]:
    """A plain HTTP session, for what the client library hides."""
    with requests.Session() as session:
        yield session


@pytest.fixture
def api(storage: LocalStorage, bucket: Any) -> str:
    """The URL of the bucket's objects."""
    return f"{storage.http_url}/storage/v1/b/{bucket.name}/o"


@pytest.fixture
def upload(storage: LocalStorage, bucket: Any) -> str:
    """The URL of the bucket's uploads."""
    return f"{storage.http_url}/upload/storage/v1/b/{bucket.name}/o"


def bucket_name() -> str:
    return f"bucket-{secrets.token_hex(6)}"
