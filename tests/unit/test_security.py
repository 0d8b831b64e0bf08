"""SECURITY.md says what is so: its files are there, and no lock file holds a version of one of its advisories."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ADVISORIES = re.findall(r"^\| ([a-z0-9-]+) \| ([0-9.]+) \| (CVE-.+) \|$", TEXT, re.MULTILINE)
LOCKS = sorted([*ROOT.glob("functions/*/requirements.txt"), *ROOT.glob("infra/*/requirements.txt")])
"""Of what is deployed or started; the tests of Terraform have an environment of their own, which parses ours only."""


def locked(package: str) -> Iterator[tuple[str, str]]:
    """The lock files that hold the package, with its version there."""
    for path in LOCKS:
        found = re.search(rf"^{re.escape(package)}==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            yield path.relative_to(ROOT).as_posix(), found[1]


@pytest.mark.parametrize(("package", "fixed"), [(package, fixed) for package, fixed, _ in ADVISORIES])
def test_every_lock_file_has_a_version_in_which_its_advisories_are_fixed(package: str, fixed: str) -> None:
    versions = dict(locked(package))
    assert versions, f"nothing locks {package} any more: take the line out"
    assert {name: version for name, version in versions.items() if Version(version) < Version(fixed)} == {}


def test_what_is_named_is_there() -> None:
    assert len(ADVISORIES) >= 6
    named = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
