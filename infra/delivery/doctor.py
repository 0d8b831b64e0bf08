"""`make doctor`: what this computer lacks to run the project and to deploy it, and what a Google Cloud project lacks.

A list with the command that mends each; ends with 1 where something is missing, which `make` turns into a 2. It reads,
and changes nothing. It runs on old Pythons and without any of our packages, since that is what it has to tell.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Sequence  # noqa: UP035 (this file runs on old Pythons)

from infra.delivery.computer_checks import local_checks, tool_checks
from infra.delivery.findings import LACKS, OK, Check
from infra.delivery.project_checks import production_checks, project_checks
from shared import terminal


def run(groups: Sequence[tuple[str, Sequence[Check]]]) -> int:
    """Print the list; 1 where something is lacking."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        asked = [(title, [pool.submit(check) for check in checks]) for title, checks in groups]
        lacking = 0
        for title, answers in asked:
            print(title)
            for answer in answers:
                finding = answer.result()
                lacking += finding.state == LACKS
                print(f"  {finding.state:5}  {finding.name:11}  {finding.found}")
                if finding.mend and finding.state != OK:
                    print(f"{'':22}{'mend' if finding.state == LACKS else 'look'}: {finding.mend}", flush=True)
    print(f"{lacking} lacking" if lacking else "nothing is lacking")
    return 1 if lacking else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="doctor", description="List what is lacking, with the command that mends it.")
    parser.add_argument("--project", help="look at this project too; needs --region")
    parser.add_argument("--region", help="e.g. europe-west1")
    parser.add_argument("--production-project", help="and at this one, where production is to serve")
    given = parser.parse_args(arguments)
    if bool(given.project) != bool(given.region) or (given.production_project and not given.project):
        parser.exit(2, "doctor: a project is looked at in a region: give both, PROJECT=... REGION=...\n")
    groups = [("to run it here", local_checks()), ("to deploy it", tool_checks())]
    if given.project:
        groups.append((f"project {given.project}", project_checks(given.project, given.region)))
    if given.production_project and given.production_project != given.project:
        title = f"production's project {given.production_project}"
        groups.append((title, production_checks(given.production_project, given.region)))
    return run(groups)


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
