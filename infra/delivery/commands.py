"""Other people's programs, called: what one prints, or one sentence that says what it said and what to do."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from infra.delivery.errors import Stopped

ASK_SECONDS = 300.0
_ABSENT = re.compile(r"not found: 404|\bNOT_FOUND\b|Cannot find (?:service|job)|Image .* not found", re.IGNORECASE)
"""How gcloud's commands say that a thing does not exist: those of storage, most others, run's and artifacts'."""
_LOGIN = re.compile(r"gcloud auth (?:application-default )?login")
"""The command that gcloud names wherever it has no login that works: none was made, or a token cannot be renewed
(googlecloudsdk/core/credentials/exceptions.py: AuthenticationException, ReauthenticationException)."""
SOURCES = {
    "gcloud": "install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install",
    "terraform": "install Terraform 1.9 or newer: https://developer.hashicorp.com/terraform/install",
    "git": "install git, e.g. apt-get install git",
}


def ask(*command: str, seconds: float = ASK_SECONDS) -> str:
    """What the command prints. Raises Stopped with the end of what it said where it fails."""
    done = _call(command, seconds)
    if done.returncode != 0:
        raise Stopped(_failure(command, done))
    return done.stdout.strip()


def ask_json(*command: str) -> Any:
    """The JSON that the command prints. Raises Stopped."""
    answer = ask(*command)
    try:
        return json.loads(answer)
    except ValueError:
        raise Stopped(f"'{_short(command)}' was to print JSON, found {answer[:80]!r}") from None


def find(*command: str) -> str | None:
    """What a command prints that describes one thing, or None where Google says that the thing does not exist.

    Raises Stopped for every other failure: an outage, a lapsed login or a missing permission says nothing about
    whether the thing is there, and what is taken for absent gets created, or overwritten.
    """
    done = _call(command, ASK_SECONDS)
    if done.returncode == 0:
        return done.stdout.strip()
    if _ABSENT.search(done.stderr):
        return None
    raise Stopped(_failure(command, done))


def do(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """Run it with its output shown. Raises Stopped where it fails."""
    print(f"  $ {_short(command)}", flush=True)
    code = subprocess.run(_found(command), check=False, env=environment, stdout=sys.stdout.fileno()).returncode
    if code != 0:
        raise Stopped(f"'{_short(command)}' ended with {code}; what it said is above")


def _call(command: tuple[str, ...], seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            _found(command), capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise Stopped(f"'{_short(command)}' did not end within {seconds:g} s: check the network") from None


def _failure(command: tuple[str, ...], done: subprocess.CompletedProcess[str]) -> str:
    login = _LOGIN.search(done.stderr)
    if command[0] == "gcloud" and login is not None:
        return f"nobody is signed in to gcloud, or the login has lapsed: {login[0]}"
    said = " ".join(done.stderr.split())[-600:] or "nothing"
    return f"'{_short(command)}' ended with {done.returncode} and said: {said}"


def _found(command: tuple[str, ...]) -> tuple[str, ...]:
    if shutil.which(command[0]) is None:
        raise Stopped(f"there is no {command[0]} here: {SOURCES.get(command[0], 'install it')}")
    return command


def _short(command: tuple[str, ...]) -> str:
    text = " ".join(command)
    return text if len(text) <= 160 else text[:157] + "..."
