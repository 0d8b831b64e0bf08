"""The predict image built and run for real: with Docker where a daemon answers, else without any engine.

Without an engine buildah runs the Dockerfile's steps over a base made from Debian packages, under the name that the
Dockerfile asks for, since a registry may be out of reach. The container then runs as the image's own configuration
says: its user, its environment, its command; on a read-only root with an empty /tmp, in its own namespaces.
That proves the Dockerfile's steps and its start command; the base itself is a stand-in.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.tools import require

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "image"
BASE = "docker.io/library/python:3.11-slim"
IMAGE = "localhost/tabular-predict:test"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = "Debian's buildah and mmdebstrap, or a Docker daemon"
BUILD_SECONDS = 1200.0
START_SECONDS = 120.0
BASE_RECIPE = f"""\
FROM scratch
ADD base.tar /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin PIP_BREAK_SYSTEM_PACKAGES=1
RUN ln -s /usr/bin/python3 /usr/local/bin/python && wheel=$(ls /usr/share/python-wheels/pip-*.whl) \\
    && python "$wheel/pip" install --quiet --no-index --root-user-action=ignore "$wheel" \\
    && find /usr/lib/python3* -name "*.pyc" -delete
LABEL stand-in-for={BASE}
"""
BASE_OPTIONS = (
    "--include=python3,python3-venv,ca-certificates",
    "--dpkgopt=force-unsafe-io",  # it is thrown away where it fails
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "doc", "locale")),
)
CONFINED = """\
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mount -o remount,bind,ro "$1"
exec chroot --userspec="$2" "$1" /usr/bin/env -i --chdir="$3" "${@:4}"
"""
"""Root folder, user, working folder, then variables and command."""


@dataclass(frozen=True)
class Image:
    """What was built: its configuration, its files as a folder, how long it took and how large it is."""

    config: Mapping[str, Any]
    files: Path
    seconds: float
    size: int
    added: int

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])


class Docker:
    """A Docker daemon."""

    def __init__(self, work: Path) -> None:
        self._work = work

    def build(self, context: Path) -> Image:
        started = time.monotonic()
        run("docker", "build", "--quiet", "--tag", IMAGE, str(context))
        seconds = time.monotonic() - started
        found = json.loads(run("docker", "image", "inspect", IMAGE))[0]
        container = run("docker", "create", IMAGE).strip()
        files = self._work / "files"
        files.mkdir()
        try:
            archive = self._work / "files.tar"
            run("docker", "export", "--output", str(archive), container)
            run("tar", "--extract", "--file", str(archive), "--directory", str(files), "--exclude", "dev/*")
        finally:
            run("docker", "rm", container)
        return Image(found["Config"], files, seconds, found["Size"], _added(files))

    @contextlib.contextmanager
    def running(self, image: Image, environment: Mapping[str, str], log: Path) -> Iterator[str]:
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        command = ["docker", "run", "--rm", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--network=host"]
        with _process([*command, *variables, IMAGE], log, environment["PORT"]) as url:
            yield url


class Buildah:
    """No engine: buildah with chroot isolation. Its store is kept between runs, for the base and the layers."""

    def __init__(self, work: Path) -> None:
        self._work = work
        store = ("--storage-driver", _driver(), "--root", str(CACHE / "store"), "--runroot", str(work / "run"))
        self._buildah = (require("buildah", source=PACKAGES), *store)
        self._container = ""

    def build(self, context: Path) -> Image:
        with _lock():
            self._make_base()
            started = time.monotonic()
            trust = ("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro")
            self._run("bud", "--isolation", "chroot", "--layers", "--pull-never", "--network", "host", *trust,
                      "--tag", IMAGE, str(context))  # fmt: skip
            seconds = time.monotonic() - started
            inspected = json.loads(self._run("inspect", "--type", "image", IMAGE))
            self._container = self._run("from", "--pull-never", IMAGE).strip()
            files = Path(self._run("mount", self._container).strip())
        return Image(inspected["OCIv1"]["config"], files, seconds, _size(files), _added(files))

    @contextlib.contextmanager
    def running(self, image: Image, environment: Mapping[str, str], log: Path) -> Iterator[str]:
        unshare = require("unshare", source="util-linux")
        variables = [f"{name}={value}" for name, value in {**image.environment, **environment}.items()]
        confined = ["bash", "-c", CONFINED, "bash", str(image.files), image.config["User"], image.config["WorkingDir"]]
        command = [unshare, "--mount", "--pid", "--fork", "--kill-child", *confined, *variables, *image.config["Cmd"]]
        with _process(command, log, environment["PORT"]) as url:
            yield url

    def close(self) -> None:
        if self._container:
            with _lock():
                self._run("rm", self._container)

    def _make_base(self) -> None:
        if self._run("images", "--quiet", "--filter", f"reference={BASE}").strip():
            return
        folder = CACHE / "base"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        bootstrap = require("mmdebstrap", source=PACKAGES)
        run(bootstrap, "--quiet", "--variant=minbase", *BASE_OPTIONS, "bookworm", str(folder / "base.tar"))
        (folder / "Dockerfile").write_text(BASE_RECIPE)
        self._run("bud", "--isolation", "chroot", "--tag", BASE, str(folder))
        shutil.rmtree(folder)

    def _run(self, *arguments: str) -> str:
        return run(*self._buildah, *arguments)


@contextlib.contextmanager
def engine(work: Path) -> Iterator[Docker | Buildah]:
    """The engine of this computer. Skips, or fails in CI, where there is none."""
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
    ):
        yield Docker(work)
        return
    require("mmdebstrap", source=PACKAGES)
    if os.geteuid() != 0:
        pytest.skip(f"only root can build without a Docker daemon; {PACKAGES}")
    buildah = Buildah(work)
    try:
        yield buildah
    finally:
        buildah.close()


def run(*command: str) -> str:
    """What it prints; a failure shows the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command[:8])} ... ended with {done.returncode}: {done.stderr[-3000:]}"
    return done.stdout


@contextlib.contextmanager
def _process(command: Sequence[str], log: Path, port: str) -> Iterator[str]:
    """The container in a session of its own, until its port answers; ended with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _accepts(int(port)):
                assert process.poll() is None, f"the container ended: {log.read_text()[-3000:]}"
                assert time.monotonic() < deadline, f"no answer on port {port}: {log.read_text()[-3000:]}"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


def _driver() -> str:
    """Overlays where the kernel lays them over this file system: they copy nothing. Else whole copies."""
    lower, upper, top, merged = (CACHE / "probe" / name for name in ("lower", "upper", "work", "merged"))
    for folder in (lower, upper, top, merged):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={lower},upperdir={upper},workdir={top}"
    mount = ["unshare", "--mount", "mount", "-t", "overlay", "-o", options, "overlay", str(merged)]
    return "overlay" if subprocess.run(mount, capture_output=True, check=False).returncode == 0 else "vfs"


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One build at a time in this checkout."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _added(files: Path) -> int:
    """The bytes that the Dockerfile adds to its base."""
    return sum(_size(files / folder) for folder in ("opt/venv", "app"))


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
