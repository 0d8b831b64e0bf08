"""Staging and release: the image that staging tested is the one that production gets, and a refused one never stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.fake_cloud import ROOT, FakeCloud
from tests.infra.healthy import broken

PROJECT = "my-project"
REPOSITORY = f"europe-west1-docker.pkg.dev/{PROJECT}/tabular"
COMMIT = "a" * 40
DIGEST = "sha256:" + "1" * 64
OLD = f"{REPOSITORY}/predict@sha256:{'0' * 64}"
NEW = f"{REPOSITORY}/predict@{DIGEST}"


def cloud(folder: Path, stage: str, url: str, **images: str) -> FakeCloud:
    found = FakeCloud(folder / "cloud")
    service = {"image": OLD, "revisions": [OLD]}
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


def traffic(fake: FakeCloud, stage: str) -> dict[str, int]:
    """The percentage of the traffic that each image gets."""
    service = fake.state["services"][f"tabular-predict-{stage}"]
    return {service["revisions"][int(number)]: share for number, share in service["shares"].items()}


def newest(fake: FakeCloud, stage: str) -> tuple[str, bool]:
    """The image of the newest revision, and whether the newest one gets the traffic."""
    service = fake.state["services"][f"tabular-predict-{stage}"]
    return service["image"], service["latest"]


def test_staging_serves_the_pushed_image_by_digest_and_marks_it_tested(healthy: str, tmp_path: Path) -> None:
    fake = cloud(tmp_path, "staging", healthy, **{COMMIT: DIGEST})
    done = call(fake, "staging")
    assert done.returncode == 0, done.stderr
    assert "does what it must" in done.stdout
    assert (traffic(fake, "staging"), newest(fake, "staging")) == ({NEW: 100}, (NEW, True))
    assert fake.state["images"][f"{REPOSITORY}/predict:tested-{COMMIT}"] == DIGEST
    assert f"--image={NEW}" in fake.changes()[0]


def test_an_image_that_fails_on_staging_is_taken_back_and_never_marked(tmp_path: Path) -> None:
    with broken() as (url, tokens):
        fake = cloud(tmp_path, "staging", url, **{COMMIT: DIGEST})
        done = call(fake, "staging")
    assert done.returncode == 1
    assert "does not pass the smoke check" in done.stderr
    assert (traffic(fake, "staging"), newest(fake, "staging")) == ({OLD: 100}, (OLD, True))
    assert f"{REPOSITORY}/predict:tested-{COMMIT}" not in fake.state["images"]
    assert set(tokens) == {"Bearer token-for-http://127.0.0.1:9"}  # of the service, at the address of its tag


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


def test_a_release_that_fails_the_smoke_check_never_had_a_caller_and_leaves_no_trace(
    tmp_path: Path,
) -> None:
    with broken() as (url, _):
        fake = cloud(tmp_path, "production", url, **{f"tested-{COMMIT}": DIGEST})
        done = call(fake, "release", "--tag=v1.2.0")
    assert done.returncode == 1
    assert f"moved back to {OLD}" in done.stderr
    service = fake.state["services"]["tabular-predict-production"]
    assert service["revisions"] == [OLD, NEW, OLD]
    assert (traffic(fake, "production"), newest(fake, "production")) == ({OLD: 100}, (OLD, True))
    assert [line.split()[3] for line in fake.changes()[:2]] == ["update", "update-traffic"]
    assert "--no-traffic" in fake.changes()[0]
    assert "--to-revisions=tabular-predict-production-00000=100" in fake.changes()[1]
    assert f"{REPOSITORY}/predict:v1.2.0" not in fake.state["images"]


@pytest.mark.parametrize("step", ["services update tabular-predict-production --image=" + NEW, "--audiences"])
def test_a_release_whose_command_fails_goes_back_too(step: str, tmp_path: Path) -> None:
    fake = cloud(tmp_path, "production", "http://127.0.0.1:9", **{f"tested-{COMMIT}": DIGEST})
    fake.change(fail=[step, "auth print-identity-token"])
    done = call(fake, "release")
    assert done.returncode == 1
    assert (traffic(fake, "production"), newest(fake, "production")) == ({OLD: 100}, (OLD, True))


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


def test_a_release_stays_at_its_share_then_goes_on_and_then_back(healthy: str, tmp_path: Path) -> None:
    fake = cloud(tmp_path, "production", healthy, **{f"tested-{COMMIT}": DIGEST})
    fake.change(urls={NEW: healthy, OLD: healthy})
    share = call(fake, "release", "--percent=10")
    assert share.returncode == 0, share.stderr
    assert traffic(fake, "production") == {NEW: 10, OLD: 90}
    assert "make release BACK=1" in share.stdout
    more = call(fake, "release", "--percent=50")
    assert (more.returncode, traffic(fake, "production")) == (0, {NEW: 50, OLD: 50}), more.stderr
    done = call(fake, "release", "--tag=v1.2.0")
    assert done.returncode == 0, done.stderr
    assert (traffic(fake, "production"), newest(fake, "production")) == ({NEW: 100}, (NEW, True))
    assert len([line for line in fake.calls if " update tabular-predict" in line]) == 1  # one revision, introduced once
    again = call(fake, "release")
    assert (again.returncode, "serves" in again.stdout and "already" in again.stdout) == (0, True), again.stderr
    back = call(fake, "release", "--back")
    assert back.returncode == 0, back.stderr
    assert (traffic(fake, "production"), newest(fake, "production")) == ({OLD: 100}, (OLD, True))


def test_a_release_under_way_is_taken_back_with_all_its_traffic(healthy: str, tmp_path: Path) -> None:
    fake = cloud(tmp_path, "production", healthy, **{f"tested-{COMMIT}": DIGEST})
    assert call(fake, "release", "--percent=10").returncode == 0
    back = call(fake, "release", "--back")
    assert back.returncode == 0, back.stderr
    assert (traffic(fake, "production"), newest(fake, "production")) == ({OLD: 100}, (OLD, True))


def test_another_release_in_the_middle_of_one_is_refused(healthy: str, tmp_path: Path) -> None:
    other, digest = "b" * 40, "sha256:" + "2" * 64
    fake = cloud(tmp_path, "production", healthy, **{f"tested-{COMMIT}": DIGEST, f"tested-{other}": digest})
    assert call(fake, "release", "--percent=10").returncode == 0
    before = fake.state["services"]
    done = call(fake, "release", f"--commit={other}")
    assert done.returncode == 1
    assert "in the middle of another release" in done.stderr
    assert fake.state["services"] == before


def test_nothing_to_go_back_to_is_said(tmp_path: Path) -> None:
    fake = cloud(tmp_path, "production", "http://127.0.0.1:9")
    done = call(fake, "release", "--back")
    assert (done.returncode, "no revision that served before" in done.stderr) == (1, True)
    assert fake.changes() == []


def build(commit: str, minute: int) -> dict[str, object]:
    return {"createTime": f"2026-01-05T07:{minute:02}:00Z", "substitutions": {"COMMIT_SHA": commit}}


@pytest.mark.parametrize(
    ("builds", "ends"),
    [
        ([build(COMMIT, 1)], 0),
        ([], 0),
        ([build("b" * 40, 2), build(COMMIT, 1)], 1),  # a newer push came meanwhile
        ([build(COMMIT, 2), build("b" * 40, 1)], 0),
        ([build(COMMIT, 3), build("b" * 40, 2), build(COMMIT, 1)], 1),  # the old one's build, started again by hand
    ],
)
def test_a_build_that_a_newer_commit_overtook_changes_nothing(
    healthy: str, tmp_path: Path, builds: list[object], ends: int
) -> None:
    fake = cloud(tmp_path, "staging", healthy, **{COMMIT: DIGEST})
    fake.change(builds=builds)
    done = call(fake, "staging", "--trigger=tabular-main")
    assert done.returncode == ends, done.stderr
    assert ("is not main's newest any more" in done.stderr) == (fake.changes() == []) == bool(ends)
    assert any("--filter=substitutions.TRIGGER_NAME=tabular-main" in line for line in fake.calls)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--percent=0", "from 1 to 100"),
        ("--percent=ten", "from 1 to 100"),
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
