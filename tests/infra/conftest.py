"""What several tests of the delivery need."""

from collections.abc import Iterator

import pytest

from tests.infra.healthy import healthy_service
from tests.local_storage import running_storage


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A predict service that passes the smoke check."""
    with running_storage() as storage, healthy_service(tmp_path_factory.mktemp("predict"), storage) as url:
        yield url
