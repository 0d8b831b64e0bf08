"""Bundles: the same bytes for the same sources, and train and validate start with their own packages alone."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import requests

from infra.delivery import bundles
from infra.delivery.errors import Stopped
from shared.store import CloudStore
from tests.cloud_events import storage_headers
from tests.infra.container import ROOT
from tests.local_storage import running_storage
from tests.tools import free_port
from tests.unit.batch.world import as_csv, rows
from tests.unit.predict.promoted import promote

pytestmark = pytest.mark.timeout(900)
UV = Path(sys.executable).parent / "uv"
PATIENCE = 180.0


def checkout(folder: Path) -> Path:
    """A copy of what is bundled, to be changed."""
    for name in ("functions", "shared", "infra/audit"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def digest(root: Path, fn: str, target: Path) -> str:
    return bundles.write(bundles.contents(root, fn), target)


@pytest.mark.parametrize("name", bundles.BUNDLES)
def test_the_bytes_depend_on_the_sources_alone(name: str, tmp_path: Path) -> None:
    fn = bundles.function_of(name)
    here = digest(ROOT, name, tmp_path / "here.zip")
    root = checkout(tmp_path / "elsewhere")
    main = root / "functions" / fn / "main.py"
    os.utime(main, (1, 1))
    main.chmod(0o755)
    (root / "functions" / fn / "__pycache__").mkdir()
    (root / "functions" / fn / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"compiled")
    (root / "functions" / fn / ".DS_Store").write_bytes(b"a desktop's")
    assert digest(root, name, tmp_path / "there.zip") == here
    assert (tmp_path / "there.zip").read_bytes() == (tmp_path / "here.zip").read_bytes()

    main.write_text(main.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert digest(root, name, tmp_path / "there.zip") != here


@pytest.mark.parametrize("fn", ["train", "validate"])
def test_only_the_shared_modules_that_a_function_needs_redeploy_it(fn: str, tmp_path: Path) -> None:
    root = checkout(tmp_path)
    before = digest(root, fn, tmp_path / "a.zip")
    other = root / "shared" / {"train": "events.py", "validate": "dataset.py"}[fn]
    other.write_text(other.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert digest(root, fn, tmp_path / "a.zip") == before
    needed = root / "shared" / "store.py"
    needed.write_text(needed.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert digest(root, fn, tmp_path / "a.zip") != before
    lock = root / "functions" / fn / "requirements.txt"
    with_store = digest(root, fn, tmp_path / "a.zip")
    lock.write_text(lock.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert digest(root, fn, tmp_path / "a.zip") != with_store


@pytest.mark.parametrize("name", bundles.BUNDLES)
def test_a_bundle_holds_one_function_and_no_data(name: str) -> None:
    names = list(bundles.contents(ROOT, name))
    assert names == sorted(names)
    folders = {name.split("/")[1] for name in names if name.startswith("functions/") and name.count("/") > 1}
    assert folders == {bundles.function_of(name)}
    assert [name for name in names if name.endswith((".csv", ".pyc", ".toml")) or "test" in name] == []


def test_the_image_of_the_job_is_made_of_what_the_function_is() -> None:
    job, function = bundles.contents(ROOT, "training"), bundles.contents(ROOT, "train")
    lock = "functions/train/requirements.txt"
    assert job.keys() - function.keys() == {"Dockerfile", lock, bundles.TOOLS}
    assert function.keys() - job.keys() == {"main.py", "requirements.txt"}
    assert job[lock] == function["requirements.txt"]
    assert all(job[name] == function[name] for name in job.keys() & function.keys())


def test_an_image_s_bundle_holds_everything_that_its_dockerfile_copies_and_no_lock_beside() -> None:
    for name in bundles.IMAGES:
        files = bundles.contents(ROOT, name)
        copied = re.findall(r"^COPY (?!--from)(\S+) ", files["Dockerfile"].decode(), re.MULTILINE)
        assert copied
        for path in copied:
            assert any(file == path or file.startswith(f"{path}/") for file in files), f"{name}: {path}"
        assert {file for file in files if file.endswith(".txt")} <= set(copied)


def test_the_two_images_of_python_services_install_and_list_their_packages_by_the_same_steps() -> None:
    steps = {}
    for name in ("predict", "training"):
        text = bundles.contents(ROOT, name)["Dockerfile"].decode()
        begin, end = text.index("ARG PYTHON_IMAGE"), text.index("COPY functions/__init__.py")
        steps[name] = text[begin:end].replace(f"functions/{bundles.function_of(name)}/", "functions/NAME/")
    assert "--require-hashes" in steps["predict"] and "cyclonedx-py" in steps["predict"]
    assert steps["training"] == steps["predict"]


def test_a_file_that_is_no_source_is_named_instead_of_left_out(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    (root / "functions" / "train" / "key.json").write_text("{}")
    with pytest.raises(Stopped, match=r"key\.json would be left out .* found '\.json'"):
        bundles.contents(root, "train")


def test_make_bundle_writes_the_zips_and_prints_their_digests(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.delivery.bundles", "train", "validate", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.zip", "validate.zip"]
    assert digest(ROOT, "train", tmp_path / "again.zip") in done.stdout


def test_an_unknown_function_is_named() -> None:
    command = [sys.executable, "-m", "infra.delivery.bundles", "tran"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'tran'" in done.stderr
    assert "train" in done.stderr


@dataclass
class Deployed:
    """A bundle unpacked outside the repository, with an environment that holds its requirements only."""

    source: Path
    python: Path

    @contextlib.contextmanager
    def running(self, fn: str, environment: dict[str, str], *options: str) -> Iterator[str]:
        """Started as the platform does: functions-framework on main.py; nothing of this process's Python settings."""
        port = free_port()
        command = [
            *(str(self.python), "-m", "functions_framework", "--source", "main.py", "--target", fn),
            *("--host", "127.0.0.1", "--port", str(port), *options),
        ]
        log = self.source.parent / f"{fn}.log"
        variables = {"PATH": os.defpath, "HOME": str(self.source.parent), **environment}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.source, env=variables, stdout=output, stderr=output, start_new_session=True
            )
            try:
                wait_for(f"http://127.0.0.1:{port}", process, log)
                yield f"http://127.0.0.1:{port}"
            finally:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            httpx.get(url, timeout=PATIENCE)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"{url} did not answer: {log.read_text()[-3000:]}")


def deployed(fn: str, folder: Path) -> Deployed:
    bundle = folder / f"{fn}.zip"
    digest(ROOT, fn, bundle)
    source = folder / fn
    bundles.unpack(bundle, source)
    python = folder / "venv" / "bin" / "python"
    lock = source / "requirements.txt"
    for command in (
        [str(UV), "venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
        [str(UV), "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
    return Deployed(source, python)


@pytest.fixture
def bucket_environment() -> Iterator[dict[str, str]]:
    with running_storage() as storage:
        bucket = f"bundle-{uuid.uuid4()}"
        created = requests.post(f"{storage.http_url}/storage/v1/b", json={"name": bucket}, timeout=PATIENCE)
        created.raise_for_status()
        yield {"BUCKET": bucket, "STORAGE_EMULATOR_HOST": storage.http_url, "GOOGLE_CLOUD_PROJECT": "local"}


def test_the_train_bundle_answers_in_an_environment_of_its_own(
    tmp_path: Path, bucket_environment: dict[str, str]
) -> None:
    bundle = deployed("train", tmp_path)
    with bundle.running("train", bucket_environment) as url:
        assert httpx.get(url, timeout=PATIENCE).status_code == 405
        bucket = bucket_environment["BUCKET"]
        absent = httpx.post(url, json={"dataset": f"gs://{bucket}/data/none.toml"}, timeout=PATIENCE)
        assert 400 <= absent.status_code < 500, absent.text
        assert "none.toml" in absent.text


def test_the_validate_bundle_acknowledges_an_event_in_an_environment_of_its_own(
    tmp_path: Path, bucket_environment: dict[str, str]
) -> None:
    bundle = deployed("validate", tmp_path)
    bucket, name = bucket_environment["BUCKET"], "data/dataset.toml"
    headers = storage_headers(bucket, name)
    event = {"bucket": bucket, "name": name, "generation": "1", "size": "1"}
    with bundle.running("validate", bucket_environment, "--signature-type", "cloudevent") as url:
        ignored = httpx.post(url, headers=headers, content=json.dumps(event), timeout=PATIENCE)
        assert ignored.status_code in (200, 204), ignored.text
        broken = httpx.post(url, headers={**headers, "ce-id": "2"}, content="[]", timeout=PATIENCE)
        assert broken.status_code in (200, 204), broken.text
    log = (tmp_path / "validate.log").read_text()
    assert "invalid_event" in log


def test_the_batch_bundle_answers_a_file_in_an_environment_of_its_own(
    tmp_path: Path, bucket_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make batch` drops the file, waits, and fetches the answer."""
    bundle = deployed("batch", tmp_path)
    for name, value in bucket_environment.items():
        monkeypatch.setenv(name, value)
    bucket = bucket_environment["BUCKET"]
    store = CloudStore(bucket)
    promote(store, "production")
    table = rows(150)
    table[149][2] = "old"
    file = tmp_path / "scores of März #7.csv"
    file.write_bytes(as_csv(table))
    command = [sys.executable, "-m", "infra.operate.batch", str(file), "--keep", "id", "--wait", str(PATIENCE)]
    asked = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    with bundle.running("batch", bucket_environment, "--signature-type", "cloudevent") as url:
        name = f"batch/in/{file.name}"
        until(lambda: store.stat(name) is not None)
        info = store.stat(name)
        assert info is not None
        headers = {
            "ce-specversion": "1.0",
            "ce-id": "1",
            "ce-type": "google.cloud.storage.object.v1.finalized",
            "ce-source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
            "Content-Type": "application/json",
        }
        event = {"bucket": bucket, "name": name, "generation": str(info.generation)}
        answered = httpx.post(url, headers=headers, content=json.dumps(event), timeout=PATIENCE)
        assert answered.status_code in (200, 204), (tmp_path / "batch.log").read_text()[-3000:]
        said = asked.communicate(timeout=PATIENCE)[0].decode()
    assert asked.returncode == 0, said
    with (tmp_path / "scores of März #7.answered.csv").open(newline="") as lines:
        answer = list(csv.DictReader(lines))
    assert [row["id"] for row in answer] == [row[0] for row in table]
    assert [position for position, row in enumerate(answer) if not row["prediction"]] == [149]
    errors = (tmp_path / "scores of März #7.answered.csv.errors.jsonl").read_text()
    assert json.loads(errors) == {"row": 151, "pointer": "/149/age", "code": "wrong_type"}
    assert "150 rows answered by run" in said


def test_the_watch_bundle_looks_at_a_day_in_an_environment_of_its_own(
    tmp_path: Path, bucket_environment: dict[str, str]
) -> None:
    bundle = deployed("watch", tmp_path)
    look = {"specversion": "1.0", "id": "daily", "source": "//cloudscheduler.googleapis.com", "type": "watch.look.v1"}
    headers = {"Content-Type": "application/cloudevents+json"}
    with bundle.running("watch", bucket_environment, "--signature-type", "cloudevent") as url:
        answered = httpx.post(url, headers=headers, content=json.dumps({**look, "data": {}}), timeout=PATIENCE)
        assert answered.status_code in (200, 204), (tmp_path / "watch.log").read_text()[-3000:]
    log = (tmp_path / "watch.log").read_text()
    assert log.count('"reason": "looked"') == 2, "both stages"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_bundle_without_one_of_its_modules_does_not_start(tmp_path: Path) -> None:
    """This proves that the tests above read the bundle and not the repository."""
    bundle = tmp_path / "validate.zip"
    files = bundles.contents(ROOT, "validate")
    del files["shared/store.py"]
    bundles.write(files, bundle)
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "source")
    probe = [sys.executable, "-c", "import main"]
    done = subprocess.run(
        probe, cwd=tmp_path / "source", env={"PATH": os.defpath}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "No module named 'shared.store'" in done.stderr
