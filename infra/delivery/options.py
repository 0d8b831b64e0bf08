"""The options that the delivery's commands share, each checked before anything is called."""

import argparse
import re
from collections.abc import Callable

from infra.options import OneLineParser


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser that takes --project, --region and --name."""
    found = OneLineParser(prog=name, description=description, allow_abbrev=False)
    found.add_argument("--project", required=True, type=PROJECT, help="the project's id, e.g. my-project-123")
    found.add_argument("--region", required=True, type=REGION, help="e.g. europe-west1")
    found.add_argument("--name", default="tabular", type=NAME, help="what every resource's name begins with (tabular)")
    return found


def add_production(found: argparse.ArgumentParser) -> None:
    """--production-project, which may be another one."""
    found.add_argument("--production-project", type=PROJECT, help="where production serves (the same project)")


def add_image(found: argparse.ArgumentParser) -> None:
    """--repository and --commit, which name an image."""
    found.add_argument("--repository", required=True, type=REPOSITORY, help="REGION-docker.pkg.dev/PROJECT/NAME")
    found.add_argument("--commit", required=True, type=COMMIT, help="the full id of the commit")


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """An argument type: a text of this form."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
        return text

    return parse


PROJECT = matching(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project id (6 to 30 lower case letters, digits, hyphens)")
REGION = matching(r"[a-z]+-[a-z]+[0-9]{1,2}", "a region such as europe-west1")
NAME = matching(r"[a-z][a-z0-9-]{1,17}[a-z0-9]", "3 to 19 lower case letters, digits, hyphens")
REPOSITORY = matching(r"[a-z0-9-]+-docker\.pkg\.dev/[a-z0-9:.-]+/[a-z0-9-]+", "REGION-docker.pkg.dev/PROJECT/NAME")
COMMIT = matching(r"[0-9a-f]{40}", "the 40 hex digits of a commit")
TAG = matching(r"v[A-Za-z0-9._-]{1,127}", "a tag such as v1.2.0")
