"""The terms of a challenge, as the marker's metadata says them. Pure: texts in, values or every problem out."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from functions.validate.asked import MarkerRefused
from shared.decisions import Mode, Then
from shared.spelling import nearest

WRITE = "write them as `gsutil -h x-goog-meta-mode:shadow cp …`, or use `make challenge MODE=shadow`"
KNOWN = ("mode", "percent", "days", "then", "by", "why")
DAYS = 14.0
MOST_DAYS = 90.0
_TOOLS_OWN = re.compile(r"goog[-_].*|gcloud[-_].*")
"""What gsutil and gcloud write themselves: the time of a file, for instance."""
_NUMBER = re.compile(r"\d{1,6}(\.\d{1,6})?", re.ASCII)


@dataclass(frozen=True)
class Terms:
    """How a run is tried: `percent` of the requests (0 for a shadow), for `days`, and what follows where it holds."""

    mode: Mode
    percent: float
    days: float
    then: Then


STOP: Literal["stop"] = "stop"


def read_terms(metadata: Mapping[str, str]) -> Terms | Literal["stop"]:
    """The terms, or that the challenge of now shall stop. Raises MarkerRefused with every problem."""
    problems = list(_strangers(metadata))
    mode = metadata.get("mode", "").strip()
    if not mode:
        problems.append(f"there is no mode, expected shadow, canary or stop; {WRITE}")
    elif mode not in (*get_args(Mode), STOP):
        problems.append(f"expected mode as shadow, canary or stop, found {_shown(mode)}")
    then = metadata.get("then", "report").strip()
    if then not in get_args(Then):
        problems.append(f"expected then as report or promote, found {_shown(then)}")
    percent = _number(metadata, "percent", 0.0, 100.0, problems)
    days = _number(metadata, "days", 0.0, MOST_DAYS, problems)
    if mode == "canary" and "percent" not in metadata:
        problems.append("a canary needs percent, the share of the requests that it answers, such as 10")
    if mode == "shadow" and percent is not None:
        problems.append("a shadow answers nobody: percent belongs to mode canary")
    if problems:
        raise MarkerRefused("terms_malformed", problems)
    if mode == STOP:
        return STOP
    return Terms("canary" if mode == "canary" else "shadow", percent or 0.0, days or DAYS, _then(then))


def _strangers(metadata: Mapping[str, str]) -> list[str]:
    """What is nobody's: most likely a slip, which would be done without what it was meant for."""
    problems = []
    for name in metadata:
        if name not in KNOWN and not _TOOLS_OWN.fullmatch(name):
            near = nearest(name, KNOWN)
            advice = f"did you mean {near!r}?" if near else f"known are {', '.join(KNOWN)}"
            problems.append(f"unknown metadata {_shown(name)}; {advice}")
    return problems


def _number(metadata: Mapping[str, str], name: str, above: float, most: float, problems: list[str]) -> float | None:
    if name not in metadata:
        return None
    text = metadata[name].strip()
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if above < number <= most:
        return number
    problems.append(f"expected {name} as a number above {above:g}, at most {most:g}, found {_shown(text)}")
    return None


def _then(text: str) -> Then:
    return "promote" if text == "promote" else "report"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
