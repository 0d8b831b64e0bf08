"""`make audit`: asks the index of advisories about every package that is locked for what is deployed or started.

A known hole that a newer version mends ends it with 1, unless `accepted.toml` says why not, and until when.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from infra.options import OneLineParser
from shared import terminal
from shared.clock import utc_now

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = Path(__file__).with_name("accepted.toml")
PIP_AUDIT = ROOT / ".venv" / "audit" / "bin" / "pip-audit"


class NotAsked(Exception):
    """The index cannot be asked, so nothing is known of the packages."""


@dataclass(frozen=True)
class Acceptance:
    """A hole that is known and lived with: its id, why, and the day by which it is looked at again."""

    id: str
    reason: str
    until: date


FIELDS = frozenset(field.name for field in fields(Acceptance))


@dataclass(frozen=True)
class Hole:
    """An advisory that a locked version falls under."""

    package: str
    version: str
    ids: tuple[str, ...]
    """The advisory's own id and the names that others gave it."""
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        mended = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no version mends it yet"
        return f"{self.package} {self.version}: {', '.join(self.ids)}; {mended}"


def locks() -> list[Path]:
    """The lock files of what is deployed or started."""
    return sorted([*ROOT.glob("functions/**/requirements.txt"), *ROOT.glob("infra/*/requirements.txt")])


def asked(lock: Path) -> Mapping[str, Any]:
    """What pip-audit says of a lock file, as it writes it. Raises NotAsked."""
    command = [str(PIP_AUDIT), "--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off", "-r"]
    done = subprocess.run([*command, str(lock)], capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotAsked(f"pip-audit ended with {done.returncode}: {last[:300]}") from None
    return dict(found)


def holes(report: Mapping[str, Any]) -> list[Hole]:
    """The advisories of pip-audit's report. Raises NotAsked where the index did not know a package at all."""
    unknown = [entry["name"] for entry in report["dependencies"] if "skip_reason" in entry]
    if unknown:
        some = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        raise NotAsked(f"the index knows nothing of {len(unknown)} packages: {some}")
    return [
        Hole(entry["name"], entry["version"], (found["id"], *found["aliases"]), tuple(found["fix_versions"]))
        for entry in report["dependencies"]
        for found in entry["vulns"]
    ]


def accepted(text: str) -> dict[str, Acceptance]:
    """The acceptances of `accepted.toml` by their ids. Raises ValueError that says what is expected instead."""
    document = tomllib.loads(text)
    entries = document.pop("accepted", [])
    if document or not isinstance(entries, list):
        raise ValueError(f"expected nothing but [[accepted]] entries, found {', '.join(document) or 'another form'}")
    return {entry.id: entry for entry in map(_acceptance, entries)}


def _acceptance(entry: object) -> Acceptance:
    if not isinstance(entry, dict) or set(entry) != FIELDS:
        found = ", ".join(sorted(entry)) if isinstance(entry, dict) else type(entry).__name__
        raise ValueError(f"each entry needs {', '.join(sorted(FIELDS))} and nothing else, found {found or 'nothing'}")
    texts = [entry[name] for name in ("id", "reason")]
    if not all(isinstance(text, str) and text.strip() for text in texts) or type(entry["until"]) is not date:
        raise ValueError(f"{entry['id']}: an id, a reason and a day, until = 2027-01-31, are needed")
    return Acceptance(**entry)


def open_holes(found: Iterable[Hole], known: Mapping[str, Acceptance], today: date) -> list[Hole]:
    """The holes that must be mended now: a version mends them, and nobody accepted them until today or later."""
    return [
        hole
        for hole in found
        if hole.fixed_in and not any(name in known and today <= known[name].until for name in hole.ids)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is known, one line each; 1 where something has to be mended, 2 where nobody could be asked."""
    OneLineParser(prog="make audit", description=__doc__).parse_args(arguments)
    try:
        known, bad = accepted(ACCEPTED.read_text(encoding="utf-8")), 0
    except ValueError as error:
        print(f"audit: {ACCEPTED.name}: {error}", file=sys.stderr)
        return 2
    for lock in locks():
        name = lock.relative_to(ROOT).as_posix()
        try:
            found = holes(asked(lock))
        except NotAsked as error:
            print(f"audit: {name}: {error}; is https://pypi.org/pypi/pip/json in reach?", file=sys.stderr)
            return 2
        must = open_holes(found, known, utc_now().date())
        bad += len(must)
        print(f"{name}: {len(found)} advisories, {len(must)} to mend")
        for hole in found:
            print(f"  {'MEND ' if hole in must else ''}{hole}")
    if bad:
        print(f"{bad} to mend: make lock UPGRADE=1, or say in infra/audit/accepted.toml why not, and until when")
    return 1 if bad else 0


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
