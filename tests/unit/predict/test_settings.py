"""What a worker is told by its environment."""

import pytest

from functions.predict.settings import PredictSettings
from shared.errors import SettingsError


def test_the_bucket_alone_is_enough() -> None:
    settings = PredictSettings.from_env({"BUCKET": "b"})
    assert (settings.bucket, settings.stage, settings.refresh_seconds) == ("b", "staging", 15)
    assert (settings.limits.max_bytes, settings.limits.max_rows) == (8 * 2**20, 10_000)
    assert settings.limits.remembered_rows == 4096


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BUCKET", " "),
        ("STAGE", "prod"),
        ("REFRESH_SECONDS", "0"),
        ("REFRESH_SECONDS", "nan"),
        ("MAX_BODY_BYTES", "8MiB"),
        ("MAX_BATCH_ROWS", "0"),
        ("REMEMBERED_ROWS", "-1"),
        ("BODY_SECONDS", "0"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        PredictSettings.from_env({"BUCKET": "b", name: value})
