"""Security rules for Terraform: what checkov finds is mended, or stands in checkov.json with the reason why not."""

import json
import subprocess

from tests.infra.terraform import HERE, INFRA, TOOLS
from tests.tools import require

ACCEPTED: dict[str, str] = json.loads((HERE / "checkov.json").read_text())


def test_every_finding_is_accepted_with_a_reason_and_every_reason_is_needed() -> None:
    checkov = require(str(TOOLS / "checkov"), source="make test installs it")
    command = [checkov, "-d", str(INFRA), "--framework", "terraform", "--skip-download", "-o", "json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    report = json.loads(done.stdout)
    failed = report["results"]["failed_checks"]
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["resource_count"] > 40
    found = {check["check_id"]: f"{check['resource']}: {check['check_name']}" for check in failed}
    assert {name: text for name, text in found.items() if name not in ACCEPTED} == {}
    assert sorted(set(ACCEPTED) - set(found)) == [], "these reasons are for nothing any more"


def test_every_reason_is_a_sentence() -> None:
    assert all(len(reason.split()) >= 8 for reason in ACCEPTED.values())
