"""`.terraform.lock.hcl` of both roots: one provider, for every platform, and terraform takes no other package.

Where the checksums come from: two public repositories that have nothing to do with each other recorded them when their
`terraform init` asked the registry, and agree on all twelve of `zh:` (the signed SHA256SUMS of the release, a platform
each) and on the three of `h1:` that are kept here:
https://github.com/HobOps/terraform-example-project/blob/1ec298865160e3d902627c350cf15cd4e40ba8e6/terraform/foundation/.terraform.lock.hcl
https://github.com/txp-labs/sensitive-data-scanner/blob/28637ec71a62bffc6a7761696de581ae072049c4/deploy/gcp/.terraform.lock.hcl
"""

import hashlib
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from infra.delivery.terraform import INIT, ROOTS
from tests.infra.terraform import INFRA, ROOT, SOURCE
from tests.tools import require

LOCK = ".terraform.lock.hcl"
PLATFORMS = 11
"""Of the provider's releases, such as linux_amd64; the twelfth checksum is that of its manifest."""


def text(folder: Path) -> str:
    return (folder / LOCK).read_text(encoding="utf-8")


def setting(name: str, content: str) -> str:
    found = re.search(rf'^\s+{name}\s+= "([^"]+)"$', content, re.MULTILINE)
    assert found, name
    return found[1]


def test_both_roots_lock_the_one_provider_that_they_require_in_the_version_that_they_allow() -> None:
    assert {text(root.folder) for root in ROOTS} == {text(INFRA)}
    for root in ROOTS:
        required = re.findall(
            r'source\s+= "([^"]+)"\n\s+version = "([^"]+)"', (root.folder / "versions.tf").read_text()
        )
        assert required == [("hashicorp/google", setting("constraints", text(root.folder)))]
    assert re.findall(r'^provider "(.+)" \{$', text(INFRA), re.MULTILINE) == ["registry.terraform.io/hashicorp/google"]
    least = [int(part) for part in setting("constraints", text(INFRA)).removeprefix("~> ").split(".")]
    locked = [int(part) for part in setting("version", text(INFRA)).split(".")]
    assert locked[0] == least[0] and locked[1] >= least[1]


def test_every_platform_of_the_release_has_its_checksum() -> None:
    recorded = re.findall(r'^    "(h1:[A-Za-z0-9+/]{43}=|zh:[0-9a-f]{64})",$', text(INFRA), re.MULTILINE)
    assert recorded == sorted(set(recorded)), "as terraform writes them"
    assert len(recorded) == text(INFRA).count('    "')
    assert len([checksum for checksum in recorded if checksum.startswith("zh:")]) == PLATFORMS + 1


def test_what_deploys_and_what_builds_take_the_provider_from_the_lock_and_leave_it_as_it_is() -> None:
    steps = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text(encoding="utf-8"))["steps"]
    (init,) = (step["args"] for step in steps if "init" in step["args"])
    assert "-lockfile=readonly" in init and "-lockfile=readonly" in INIT
    ignored = subprocess.run(
        ["git", "check-ignore", *(str(root.folder / LOCK) for root in ROOTS)],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert ignored.returncode == 1, ignored.stdout


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A packed mirror with a package that calls itself the locked version."""
    terraform = require("terraform", source=SOURCE)
    said = subprocess.run([terraform, "version"], capture_output=True, text=True, check=True).stdout
    platform = re.search(r"^on (\w+)$", said, re.MULTILINE)
    assert platform, said
    version = setting("version", text(INFRA))
    folder = tmp_path / "mirror" / "registry.terraform.io" / "hashicorp" / "google"
    folder.mkdir(parents=True)
    packed = folder / f"terraform-provider-google_{version}_{platform[1]}.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"terraform-provider-google_v{version}", "#!/bin/sh\n")
    return packed


def initialised(folder: Path, package: Path, lock: str) -> subprocess.CompletedProcess[str]:
    """What the real terraform says of the package, in a root that requires the provider as ours do."""
    folder.mkdir()
    (folder / "versions.tf").write_text((INFRA / "versions.tf").read_text().partition("# The state")[0] + "}\n")
    (folder / LOCK).write_text(lock, encoding="utf-8")
    mirror = package.parents[3]
    command = [require("terraform", source=SOURCE), f"-chdir={folder}", *INIT, "-no-color", f"-plugin-dir={mirror}"]
    empty = folder / "terraform.rc"
    empty.touch()
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": str(empty)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_a_package_that_is_not_the_registry_s_is_refused(tmp_path: Path, package: Path) -> None:
    done = initialised(tmp_path / "root", package, text(INFRA))
    assert done.returncode == 1
    assert "doesn't match any of the checksums previously recorded" in " ".join(done.stderr.split())


def test_a_platform_s_checksum_of_the_release_is_enough_and_the_checkout_stays_as_it_is(
    tmp_path: Path, package: Path
) -> None:
    """No `h1:` need be known; adding one would leave a changed checkout, of which no release is made."""
    without = re.sub(r'^    "(h1|zh):.*\n', "", text(INFRA), flags=re.MULTILINE)
    its_own = hashlib.sha256(package.read_bytes()).hexdigest()
    lock = without.replace("hashes = [\n", f'hashes = [\n    "zh:{its_own}",\n')
    done = initialised(tmp_path / "root", package, lock)
    assert done.returncode == 0, done.stdout + done.stderr
    assert text(tmp_path / "root") == lock
