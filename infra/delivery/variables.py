"""Terraform's variables of one deployment: kept beside its state, so that a build applies the same as a person does."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.delivery.commands import ask, do
from infra.delivery.errors import Stopped, exit_code
from infra.options import OneLineParser

KEY = "terraform.tfvars"
FILE = Path(__file__).resolve().parents[1] / "terraform" / KEY


def keep(bucket: str, file: Path = FILE) -> None:
    """Store the file in the state's bucket; nothing where there is none."""
    if file.is_file():
        do("gcloud", "storage", "cp", str(file), f"gs://{bucket}/{KEY}")


def fetch(bucket: str, file: Path = FILE) -> bool:
    """The stored file in the place where Terraform reads it; False where none was stored. Raises Stopped."""
    found = ask("gcloud", "storage", "ls", f"gs://{bucket}").split()
    if f"gs://{bucket}/{KEY}" not in found:
        file.unlink(missing_ok=True)
        return False
    do("gcloud", "storage", "cp", f"gs://{bucket}/{KEY}", str(file))
    if not file.is_file():
        raise Stopped(f"gcloud said it copied gs://{bucket}/{KEY}, but there is no {file}")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="variables", description="Fetch the Terraform variables of a deployment.")
    parser.add_argument("--state-bucket", required=True, help="PROJECT-NAME-tfstate")
    given = parser.parse_args(arguments)
    return exit_code("variables", lambda: _fetch(given))


def _fetch(given: argparse.Namespace) -> int:
    print("its own variables" if fetch(given.state_bucket) else "the default variables")
    return 0


if __name__ == "__main__":
    sys.exit(main())
