"""What a client wrote is there after the server was stopped and started."""

from pathlib import Path

from tests.contract.objects import ONCE, read
from tests.local_storage import running_storage


def test_an_object_and_its_metadata_survive_a_restart(tmp_path: Path) -> None:
    with running_storage(tmp_path) as storage:
        client = storage.client()
        bucket = client.create_bucket("kept-bucket", **ONCE)
        blob = bucket.blob("keep/ü me.txt")
        blob.metadata = {"m": "1"}
        blob.upload_from_string(b"kept", content_type="text/csv", **ONCE)
        client.close()
        storage.restart()
        client = storage.client()
        found = client.bucket("kept-bucket").get_blob("keep/ü me.txt", **ONCE)
        assert (found.metadata, found.content_type, found.generation) == ({"m": "1"}, "text/csv", blob.generation)
        assert read(client.bucket("kept-bucket"), "keep/ü me.txt") == b"kept"
        client.close()
