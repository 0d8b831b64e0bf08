"""What a check of doctor's finds, and how it asks: a program is given so many seconds, and never a question of its own.

Plain Python that runs on old versions, as all that doctor imports.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import Callable  # noqa: UP035 (this file runs on old Pythons)

from infra.delivery.required import ACCOUNT

SECONDS = 15.0
"""The longest that one question to gcloud may take; all are asked side by side."""
OK, LACKS, UNKNOWN = "ok", "lacks", "?"


@dataclass(frozen=True)
class Finding:
    """One line of the list. `mend` is the command for what is lacking."""

    state: str
    name: str
    found: str
    mend: str = ""


Check = Callable[[], Finding]


def signed_in() -> str:
    """Who is signed in to gcloud; empty for nobody."""
    done = ask(*ACCOUNT)
    return done[1].strip() if done and done[0] == 0 else ""


def ask(*command: str) -> tuple[int, str, str] | None:
    """Exit code and output; None where the program is missing or did not end in time."""
    if shutil.which(command[0]) is None:
        return None
    environment = {**os.environ, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # gcloud is a script with a child of its own
            process.communicate()
            return None
    return process.returncode, out, err


def why(done: tuple[int, str, str] | None) -> str:
    """Why a question had no answer, in a line."""
    if done is None:
        return "gcloud is missing" if shutil.which("gcloud") is None else f"no answer in {SECONDS:g} s: network?"
    lines = [line for line in done[2].splitlines() if line.strip()]
    return lines[0][:160] if lines else "it could not be read"
