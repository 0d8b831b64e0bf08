"""Staging and release: the image that staging tested is the one that production gets, and a refused one never stays."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.infra.fake_cloud import ROOT, FakeCloud

PROJECT = "my-project"
REPOSITORY = f"europe-west1-docker.pkg.dev/{PROJECT}/tabular"
COMMIT = "a" * 40
DIGEST = "sha256:" + "1" * 64
OLD = f"{REPOSITORY}/predict@sha256:{'0' * 64}"
NEW = f"{REPOSITORY}/predict@{DIGEST}"


@contextmanager
def broken() -> Iterator[tuple[str, list[str]]]:
    """A service that lives and does nothing right; the Authorization headers that it got."""
    tokens: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers.get("Authorization", ""))
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", tokens
        finally:
            server.shutdown()
            thread.join()


def cloud(folder: Path, stage: str, url: str, **images: str) -> FakeCloud:
    found = FakeCloud(folder / "cloud")
    service = {"image": OLD, "revisions": [OLD], "serving": 0, "pinned": None}
    found.change(
        account="build@my-project.iam.gserviceaccount.com",
        services={f"tabular-predict-{stage}": service},
        images={f"{REPOSITORY}/predict:{tag}": digest for tag, digest in images.items()},
        urls={NEW: url},
    )
    return found


def call(fake: FakeCloud, module: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", f"infra.delivery.{module}", f"--project={PROJECT}", "--region=europe-west1"),
        *("--name=tabular", f"--repository={REPOSITORY}", f"--commit={COMMIT}", *more),
    ]
    return subprocess.run(
        command, cwd=ROOT, env=fake.environment(), capture_output=True, text=True, check=False, timeout=200
    )


def test_staging_serves_the_pushed_image_by_digest_and_marks_it_tested(healthy: str, tmp_path: Path) -> None:
    fake = cloud(tmp_path, "staging", healthy, **{COMMIT: DIGEST})
    done = call(fake, "staging")
    assert done.returncode == 0, done.stderr
    assert "does what it must" in done.stdout
    service = fake.state["services"]["tabular-predict-staging"]
    assert (service["image"], service["revisions"][service["serving"]]) == (NEW, NEW)
    assert fake.state["images"][f"{REPOSITORY}/predict:tested-{COMMIT}"] == DIGEST
    assert f"--image={NEW}" in fake.changes()[0]


def test_an_image_that_fails_on_staging_is_taken_back_and_never_marked(tmp_path: Path) -> None:
    with broken() as (url, tokens):
        fake = cloud(tmp_path, "staging", url, **{COMMIT: DIGEST})
        done = call(fake, "staging")
    assert done.returncode == 1
    assert "does not pass the smoke check" in done.stderr
    service = fake.state["services"]["tabular-predict-staging"]
    assert (service["image"], service["revisions"][service["serving"]], service["pinned"]) == (OLD, OLD, None)
    assert f"{REPOSITORY}/predict:tested-{COMMIT}" not in fake.state["images"]
    assert set(tokens) == {f"Bearer token-for-{url}"}


def test_an_image_that_was_not_pushed_is_named(tmp_path: Path) -> None:
    fake = cloud(tmp_path, "staging", "http://127.0.0.1:9")
    done = call(fake, "staging")
    assert done.returncode == 1
    assert f"no predict image of commit {COMMIT}" in done.stderr
    assert fake.changes() == []


def test_a_release_moves_production_to_the_tested_digest_and_builds_nothing(healthy: str, tmp_path: Path) -> None:
    fake = cloud(tmp_path, "production", healthy, **{f"tested-{COMMIT}": DIGEST})
    done = call(fake, "release", "--tag=v1.2.0")
    assert done.returncode == 0, done.stderr
    service = fake.state["services"]["tabular-predict-production"]
    assert service["revisions"] == [OLD, NEW]
    assert fake.state["images"][f"{REPOSITORY}/predict:v1.2.0"] == DIGEST
    assert [line for line in fake.calls if "build" in line.split(" --")[0]] == []


def test_a_release_of_a_commit_that_staging_did_not_test_is_refused(tmp_path: Path) -> None:
    fake = cloud(tmp_path, "production", "http://127.0.0.1:9", **{COMMIT: DIGEST})  # pushed, not tested
    done = call(fake, "release")
    assert done.returncode == 1
    assert "staging tested no image of commit" in done.stderr
    assert fake.changes() == []


def test_a_release_that_fails_the_smoke_check_goes_back_at_once_and_leaves_the_old_image_newest(tmp_path: Path) -> None:
    with broken() as (url, _):
        fake = cloud(tmp_path, "production", url, **{f"tested-{COMMIT}": DIGEST})
        done = call(fake, "release", "--tag=v1.2.0")
    assert done.returncode == 1
    assert f"moved back to {OLD}" in done.stderr
    service = fake.state["services"]["tabular-predict-production"]
    assert service["revisions"] == [OLD, NEW, OLD]
    assert (service["serving"], service["image"], service["pinned"]) == (2, OLD, None)
    back = fake.changes()[2]
    assert "--to-revisions=tabular-predict-production-00000=100" in back
    assert f"{REPOSITORY}/predict:v1.2.0" not in fake.state["images"]


@pytest.mark.parametrize("step", ["services update tabular-predict-production --image=" + NEW, "--audiences"])
def test_a_release_whose_command_fails_goes_back_too(step: str, tmp_path: Path) -> None:
    fake = cloud(tmp_path, "production", "http://127.0.0.1:9", **{f"tested-{COMMIT}": DIGEST})
    fake.change(fail=[step, "auth print-identity-token"])
    done = call(fake, "release")
    assert done.returncode == 1
    service = fake.state["services"]["tabular-predict-production"]
    assert (service["image"], service["revisions"][service["serving"]]) == (OLD, OLD)


def test_where_moving_back_fails_too_the_message_says_what_served(tmp_path: Path) -> None:
    with broken() as (url, _):
        fake = cloud(tmp_path, "production", url, **{f"tested-{COMMIT}": DIGEST})
        fake.change(fail=["--to-revisions"])
        done = call(fake, "release")
    assert done.returncode == 1
    assert "moving back failed too" in done.stderr
    assert "tabular-predict-production-00000 served before" in done.stderr


def test_a_registry_that_refuses_is_not_taken_for_one_without_the_image(tmp_path: Path) -> None:
    fake = cloud(tmp_path, "production", "http://127.0.0.1:9")
    fake.change(fail=["artifacts docker images describe"])
    done = call(fake, "release")
    assert (done.returncode, "made to fail" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--commit=abc", "40 hex digits"),
        ("--region=europe", "europe-west1"),
        ("--tag=1.0", "v1.2.0"),
        ("--tga=v1", "--tga"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_called(option: str, expected: str, tmp_path: Path) -> None:
    fake = cloud(tmp_path, "production", "http://127.0.0.1:9")
    done = call(fake, "release", option)
    assert done.returncode == 2
    assert expected in done.stderr
    assert fake.calls == []
