"""Object keys: what is built parses back, and nothing else parses."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import layout

RUN = "20260105T070000Z-0123abcd"


def test_a_new_run_id_names_its_utc_time() -> None:
    run_id = layout.new_run_id(datetime(2026, 1, 5, 8, tzinfo=timezone(timedelta(hours=1))))
    assert run_id.startswith("20260105T070000Z-")
    assert layout.run_time(run_id) == datetime(2026, 1, 5, 7, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2999, 1, 1)), st.integers(1, 10**6))  # noqa: DTZ001
def test_sorting_by_name_is_sorting_by_time(moment: datetime, seconds: int) -> None:
    earlier = moment.replace(tzinfo=UTC)
    assert layout.new_run_id(earlier) < layout.new_run_id(earlier + timedelta(seconds=seconds + 1))
    assert layout.history("staging", earlier, RUN) < layout.history("staging", earlier + timedelta(seconds=1), RUN)


def test_a_manifest_key_names_its_run() -> None:
    assert layout.run_of_manifest(layout.candidate(RUN, layout.MANIFEST)) == RUN


@pytest.mark.parametrize(
    "key",
    [
        "",
        f"candidates/{RUN}/manifest.json.tmp",
        f"candidates/{RUN}/manifest.json/",
        f"candidates/{RUN}/manifest.json\n",
        f"candidates/{RUN}//manifest.json",
        f"candidates/{RUN}/../{RUN}/manifest.json",
        f"candidates%2F{RUN}/manifest.json",
        f"/candidates/{RUN}/manifest.json",
        f"x/candidates/{RUN}/manifest.json",
        f"candidates/{RUN.upper()}/manifest.json",
        "candidates/20261399T070000Z-0123abcd/manifest.json",
        "candidates/٢٠٢٦٠١٠٥T070000Z-0123abcd/manifest.json",
        f"staging/{RUN}/manifest.json",
        f"candidates/{RUN}/model.onnx",
        "n" * 1024,
    ],
)
def test_any_other_key_names_none(key: str) -> None:
    assert layout.run_of_manifest(key) is None


def test_the_time_of_what_is_no_run_id_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a run id such as"):
        layout.run_time("latest")


def test_an_address_and_its_key_lead_to_each_other() -> None:
    assert layout.address("a-bucket", "data/dataset.toml") == "gs://a-bucket/data/dataset.toml"
    assert layout.key_in("a-bucket", "gs://a-bucket/data/dataset.toml") == "data/dataset.toml"


@pytest.mark.parametrize("uri", ["", "data/dataset.toml", "gs://a-bucket", "gs://a-bucket/", "gs://a-bucket-2/x.toml"])
def test_an_address_elsewhere_has_no_key_here(uri: str) -> None:
    assert layout.key_in("a-bucket", uri) is None


@pytest.mark.parametrize("text", ["a-bucket", "gs://a-bucket", "gs://a-bucket/"])
def test_a_bucket_is_named_bare_or_by_its_address(text: str) -> None:
    assert layout.bucket_name(text) == "a-bucket"


def test_a_table_is_beside_its_spec_or_where_its_own_address_says() -> None:
    assert layout.beside("gs://a-bucket/data/dataset.toml", "houses.csv") == "gs://a-bucket/data/houses.csv"
    assert layout.beside("gs://a-bucket/data/dataset.toml", "gs://b-bucket/houses.csv") == "gs://b-bucket/houses.csv"
