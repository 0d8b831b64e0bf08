"""Files that were put together in the bucket: `gsutil compose`, and what gsutil uploads in parallel, have no MD5.

https://cloud.google.com/storage/docs/composite-objects: a composed object has a CRC32C and a count of components only.
"""

import uuid
from pathlib import Path

import pytest
from google.cloud import storage

from functions.batch.main import Batcher
from functions.batch.settings import BatchSettings
from shared import layout
from shared.store import CloudStore
from tests.local_storage import running_storage
from tests.unit.batch.world import BatchWorld, as_csv, as_parquet, rows
from tests.unit.predict.promoted import promote
from tests.unit.validate.world import attributes, resource


@pytest.mark.parametrize("written", ["csv", "parquet"])
def test_a_file_composed_of_pieces_is_answered_as_the_whole(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = as_csv(rows(300)) if written == "csv" else as_parquet(rows(300))
    name = f"composed.{written}"
    with running_storage(tmp_path) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.http_url)
        bucket = storage.Client(project="p").create_bucket(f"b-{uuid.uuid4().hex[:12]}")
        store = CloudStore(bucket.name)
        promote(store, "production")
        pieces = [bucket.blob(f"uploads/{place}") for place in range(3)]
        for place, piece in enumerate(pieces):
            piece.upload_from_string(data[place * len(data) // 3 : (place + 1) * len(data) // 3])
        whole = bucket.blob(f"{layout.BATCH_INPUT}{name}")
        whole.compose(pieces)
        whole.reload()
        assert (whole.md5_hash, whole.component_count) == (None, 3)
        Batcher(BatchSettings(bucket=bucket.name), store).receive(
            attributes(bucket.name), resource(whole.name, whole.generation, bucket.name)
        )
        part = store.read(f"{layout.batch_folder(whole.name, whole.generation)}part-00000.{written}").data
    assert part == BatchWorld(settings={}).answer(name, data).files[f"part-00000.{written}"]
