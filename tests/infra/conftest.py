"""What several tests of the delivery need."""

from collections.abc import Iterator

import pytest
import requests

from shared.store import CloudStore
from tests.functions.test_predict_function import running
from tests.local_storage import running_storage
from tests.unit.predict.promoted import promote


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A predict service that passes the smoke check."""
    folder = tmp_path_factory.mktemp("predict")
    with running_storage() as storage, pytest.MonkeyPatch.context() as environment:
        requests.post(f"{storage.http_url}/storage/v1/b", json={"name": "delivery"}, timeout=60).raise_for_status()
        environment.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        environment.setenv("GOOGLE_CLOUD_PROJECT", "local")
        promote(CloudStore("delivery"))
        with running(folder, {"BUCKET": "delivery"}) as function:
            yield function.url
