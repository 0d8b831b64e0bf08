"""The predict image: built from its bundle, run as it is deployed, and asked what `make smoke` asks."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from infra.delivery import bundles
from shared.store import CloudStore
from tests.infra.container import ROOT, Buildah, Docker, Image, engine
from tests.local_storage import running_storage
from tests.tools import free_port, require
from tests.unit.predict.promoted import promote

pytestmark = pytest.mark.timeout(1500)
DOCKERFILE = ROOT / "functions" / "predict" / "Dockerfile"
PATIENCE = 60.0


@dataclass
class Built:
    engine: Docker | Buildah
    image: Image


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The image, from the same context as it is deployed from."""
    work = tmp_path_factory.mktemp("image")
    with engine(work) as found:
        bundle = work / "predict.zip"
        bundles.write(bundles.contents(ROOT, "predict"), bundle)
        bundles.unpack(bundle, work / "context")
        yield Built(found, found.build(work / "context"))


@pytest.mark.parametrize("dockerfile", [DOCKERFILE, ROOT / "functions" / "batch" / "flex" / "Dockerfile"])
def test_a_dockerfile_passes_the_linter(dockerfile: Path) -> None:
    linter = require(str(Path(sys.executable).parent / "hadolint"), "hadolint", source="make installs it")
    done = subprocess.run([linter, str(dockerfile)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_the_image_runs_read_only_without_root_and_passes_the_smoke_check(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "container.log"
    with running_storage() as storage:
        bucket = f"image-{uuid.uuid4()}"
        url = f"{storage.http_url}/storage/v1/b"
        requests.post(url, json={"name": bucket}, timeout=PATIENCE).raise_for_status()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.http_url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "local")
        promote(CloudStore(bucket), "production")
        environment = {
            "PORT": str(free_port()),
            "BUCKET": bucket,
            "STAGE": "production",
            "STORAGE_EMULATOR_HOST": storage.http_url,
            "GOOGLE_CLOUD_PROJECT": "local",
        }
        with built.engine.running(built.image, environment, log) as service:
            smoke = subprocess.run(
                ["make", "smoke", f"URL={service}"],
                cwd=ROOT,
                env={**os.environ, "MAKEFLAGS": ""},
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
            assert smoke.returncode == 0, f"{smoke.stdout}{smoke.stderr}{log.read_text()[-3000:]}"
            assert owners(built.image.config["Cmd"][2:4]) == {65532}
    sys.stdout.write(f"\n{smoke.stdout}{report(built.image)}\n")


def test_the_image_holds_what_serving_needs_and_nothing_to_build_with(built: Built) -> None:
    files = built.image.files
    expected = {name for name in bundles.contents(ROOT, "predict") if name.startswith(("functions/", "shared/"))}
    expected -= {"functions/predict/requirements.txt"}
    app = files / "app"
    found = {path.relative_to(app).as_posix() for path in app.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert found == expected | {"sbom.cdx.json"}
    compiled = {path.name.split(".")[0] for path in app.rglob("*.pyc")}
    assert compiled == {Path(name).stem for name in expected if name.endswith(".py")}
    tools = ("pip", "pip3", "uv", "gcc", "cc", "make", "git", "wheel", "easy_install")
    folders = ("usr/bin", "usr/local/bin", "opt/venv/bin", "bin")
    assert [tool for folder in folders for tool in tools if (files / folder / tool).exists()] == []
    packages = {path.name for path in files.glob("opt/venv/lib/python3*/site-packages/*")}
    assert not packages & {"pip", "setuptools", "wheel", "pandas", "sklearn", "onnx"}
    assert packages >= {"onnxruntime", "functions_framework", "uvloop"}


def test_the_image_says_what_it_has_installed(built: Built) -> None:
    listed = json.loads((built.image.files / "app" / "sbom.cdx.json").read_bytes())
    assert listed["bomFormat"] == "CycloneDX"
    packages = {(canonicalize_name(entry["name"]), entry["version"]) for entry in listed["components"]}
    locked = (ROOT / "functions" / "predict" / "requirements.txt").read_text(encoding="utf-8")
    lines = re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)(.*)$", locked, re.MULTILINE)
    assert packages == {(canonicalize_name(name), version) for name, version, rest in lines if wanted(rest)}


def wanted(rest: str) -> bool:
    """Whether a line of a lock file is for the image's platform, by the marker behind its version."""
    marker = rest.partition(";")[2].strip(" \\")
    return not marker or Marker(marker).evaluate({"sys_platform": "linux", "platform_system": "Linux"})


def test_nothing_is_compiled_at_its_start(built: Built) -> None:
    """The base has its standard library without bytecode, https://github.com/docker-library/python/issues/615."""
    (library,) = {path.parent for path in built.image.files.glob("usr/**/lib/python3*/asyncio")}
    installed = built.image.files.glob("opt/venv/lib/python3*/site-packages")
    bare = [
        path.as_posix()
        for folder in (library / "asyncio", library / "email", library / "http", *installed)
        for path in folder.rglob("*.py")
        if not any((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc"))
    ]
    assert bare == []


def test_nothing_in_the_image_belongs_to_the_user_that_it_runs_as(built: Built) -> None:
    user = int(built.image.config["User"].split(":")[0])
    assert user >= 1000
    assert [path for path in (built.image.files / "app").rglob("*") if path.lstat().st_uid == user] == []
    writable = [path for path in (built.image.files / "app").rglob("*") if path.lstat().st_mode & 0o022]
    assert [path for path in writable if not path.is_symlink()] == []


def test_the_command_has_no_shell_and_the_port_is_named(built: Built) -> None:
    assert built.image.config["Cmd"][0] == "python"
    assert "Entrypoint" not in built.image.config or not built.image.config["Entrypoint"]
    assert built.image.environment["PORT"] == "8080"


def owners(words: list[str]) -> set[int]:
    """The users other than this one of every process whose command line holds these words."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if set(words) <= set(command):
                found.add(folder.stat().st_uid)
        except OSError:
            continue
    return found - {os.getuid()}


def report(image: Image) -> str:
    mega = 1e6
    return (
        f"image: {image.size / mega:.0f} MB in all, {image.added / mega:.0f} MB of it beside the base;"
        f" built in {image.seconds:.0f} s, runs as {image.config['User']} on a read-only root"
    )
