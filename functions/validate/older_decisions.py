"""Decisions of before checks had a status and a code, read as they would be written now. Pure."""

import msgspec

from functions.validate.gate import CHECKS, OPENING
from shared.decisions import Check, CheckStatus, Decision

_NEEDS = {name: (*OPENING, *needs) for name, needs, _ in CHECKS}
_CODES = {"manifest": "malformed_manifest", "run_time": "future_run", "newest": "superseded"}


def with_status(decision: Decision) -> Decision:
    """`decision` with a status and a code for every check; one that has them already is returned as it is."""
    if all(check.status for check in decision.checks):
        return decision
    failed = {check.name for check in decision.checks if not check.passed}
    checks = tuple(_completed(check, failed) for check in decision.checks)
    return msgspec.structs.replace(decision, checks=checks)


def _completed(check: Check, failed: set[str]) -> Check:
    status: CheckStatus = "passed"
    if not check.passed:
        status = "failed" if failed.isdisjoint(_NEEDS.get(check.name, ())) else "not_run"
    return msgspec.structs.replace(check, status=status, code=_code(check) if status == "failed" else "")


def _code(check: Check) -> str:
    if check.name == "newest" and check.observed is None:  # nothing was seen where the pointer did not parse
        return "pointer_unreadable"
    return _CODES.get(check.name, f"{check.name}_failed")
