"""Terraform's variables of one deployment: kept beside its state, so that everybody and every build applies the same.

A checkout without the file gets the stored one; one whose file differs is shown the difference and asked. Nothing else
may answer for a person here: with defaults in their place, triggers, promoters, callers, alerts and the budget go away.
"""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from infra.delivery.commands import ask, do, find
from infra.delivery.errors import Stopped, exit_code
from infra.delivery.terraform import DELIVERYS, ROOT, Root
from infra.options import OneLineParser
from shared import terminal

ABSENT = "0"
"""The generation of an object that is not there."""

Answer = Callable[[str], str]


@dataclass(frozen=True)
class Stored:
    """The deployment's own file at one generation; `text` is None where none was stored."""

    generation: str
    text: str | None


NOTHING = Stored(ABSENT, None)


def stored(bucket: str, root: Root) -> Stored:
    """What is kept in the state's bucket. Raises Stopped where that cannot be told."""
    address = f"gs://{bucket}/{root.key}"
    generation = find("gcloud", "storage", "objects", "describe", address, "--format=value(generation)")
    if generation is None:
        return NOTHING
    return Stored(generation, ask("gcloud", "storage", "cat", f"{address}#{generation}") + "\n")


def settle(bucket: str, root: Root, answer: Answer) -> Stored:
    """Make the root's file what this deployment is to be applied with; what was stored before. Raises Stopped.

    A stored file is fetched where there is none here; where the two differ a person says which one holds.
    """
    file, kept = root.settings, stored(bucket, root)
    here = file.read_text(encoding="utf-8") if file.is_file() else None
    if kept.text is None or (here is not None and here.strip() == kept.text.strip()):
        return kept
    if here is None:
        file.write_text(kept.text, encoding="utf-8")
        print(f"  the deployment's own {root.key} was fetched from gs://{bucket}", flush=True)
        return kept
    print("".join(_difference(kept.text, here)), flush=True)
    said = answer("'-' is what the deployment has, '+' what is here. Apply with (s)tored, (h)ere, or stop: ").strip()
    if said == "s":
        file.with_suffix(".tfvars.before").write_text(here, encoding="utf-8")
        file.write_text(kept.text, encoding="utf-8")
    elif said != "h":
        place = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        raise Stopped(
            f"{place} differs from the one that the deployment was made with; nothing was changed. To take the"
            f" deployment's: gcloud storage cp gs://{bucket}/{root.key} {place}; to change it, run this again"
            " and answer h"
        )
    return kept


def _difference(kept: str, here: str) -> Iterator[str]:
    before, after = kept.strip().splitlines(), here.strip().splitlines()
    return (f"{line.rstrip()}\n" for line in difflib.unified_diff(before, after, "stored", "here"))


def typed(question: str) -> str:
    """What a person types; nothing where nobody can."""
    try:
        return input(question)
    except EOFError:
        return ""


def keep(bucket: str, root: Root, before: Stored) -> None:
    """Store the file that was applied, unless somebody stored another one since `before`. Raises Stopped."""
    file = root.settings
    if not file.is_file() or file.read_text(encoding="utf-8").strip() == (before.text or "").strip():
        return
    condition = f"--if-generation-match={before.generation}"
    do("gcloud", "storage", "cp", condition, str(file), f"gs://{bucket}/{root.key}")


def fetch(bucket: str, root: Root = DELIVERYS) -> bool:
    """The stored file in the place where Terraform reads it; False where none was stored. Raises Stopped."""
    kept = stored(bucket, root)
    if kept.text is None:
        root.settings.unlink(missing_ok=True)
        return False
    root.settings.write_text(kept.text, encoding="utf-8")
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
    terminal.prepare()
    sys.exit(main())
