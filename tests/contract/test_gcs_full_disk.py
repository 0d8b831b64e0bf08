"""The local storage on a full disk, and over a file that is damaged: what can be done is done, the rest is told."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from infra.local.storage import reserve as module
from infra.local.storage.database import FILE_NAME
from infra.local.storage.request import Storage
from infra.local.storage.reserve import BYTES, Reserve
from tests.local_storage import ROOT, LocalStorage, command, running_storage

MEBIBYTE = 2**20
BUCKET = "bucket"


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A disk of its own at `folder`; skips where this process may not make one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a disk; test_the_reserve_… tries the parts")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Another program takes what is left of the disk."""
    path = folder / "another-program"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            return path


def upload(url: str, name: str, size: int) -> requests.Response:
    address = f"{url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}"
    return requests.post(address, data=b"a" * size, timeout=60)


def test_on_a_full_disk_the_server_starts_and_deletes_until_there_is_room_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 96) as disk:
        server = LocalStorage(disk)
        server.start()
        try:
            requests.post(f"{server.url}/storage/v1/b", json={"name": BUCKET}, timeout=30).raise_for_status()
            for name in "xyz":
                upload(server.url, name, 8 * MEBIBYTE).raise_for_status()
            another = fill(disk)
            server.restart()
            refused = upload(server.url, "more", 1000)
            assert refused.status_code == 507
            assert "is full: delete objects that are not needed" in refused.json()["error"]["message"]
            read = requests.get(f"{server.url}/storage/v1/b/{BUCKET}/o/x?alt=media", timeout=30)
            assert len(read.content) == 8 * MEBIBYTE
            for name in "xy":
                answer = requests.delete(f"{server.url}/storage/v1/b/{BUCKET}/o/{name}", timeout=30)
                assert answer.status_code == 204, answer.text
            upload(server.url, "more", MEBIBYTE).raise_for_status()
            another.unlink()
        finally:
            server.kill()


def test_an_upload_that_fills_the_disk_is_told_so_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk, running_storage(disk) as server:
        requests.post(f"{server.url}/storage/v1/b", json={"name": BUCKET}, timeout=30).raise_for_status()
        refused = upload(server.url, "huge", 80 * MEBIBYTE)
        assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (507, "insufficientStorage")
        assert requests.get(f"{server.url}/storage/v1/b/{BUCKET}/o/huge", timeout=30).status_code == 404


def test_the_reserve_is_kept_given_up_and_kept_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Storage(tmp_path)
    file = tmp_path / f"{FILE_NAME}.reserve"
    assert file.stat().st_size == BYTES
    left = [0]
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": left[0]}))
    assert engine.reserve.low
    engine.reserve.use()
    assert not file.exists()
    engine.reserve.restore(engine.database)
    assert not file.exists(), "not on a full disk"
    left[0] = module.PLENTY
    Reserve(tmp_path).restore(engine.database)
    assert file.exists()
    engine.close()


def test_what_is_deleted_is_given_back_to_the_disk(tmp_path: Path) -> None:
    engine = Storage(tmp_path)
    writer = engine.contents.writer()
    writer.write(b"a" * (4 * MEBIBYTE))
    engine.contents.drop_if_unused(writer.close({}))
    engine.database.shrink()
    assert (tmp_path / FILE_NAME).stat().st_size < MEBIBYTE
    engine.close()


@pytest.mark.parametrize("data", [b"no database " * 1000, b"SQLite format 3\0" + b"\xff" * 5000], ids=["other", "torn"])
def test_a_damaged_file_is_told_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(data)
    ended = subprocess.run(command(tmp_path, 0, 0), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert f"{FILE_NAME} is damaged: " in ended.stderr
    assert "make clean-local" in ended.stderr
