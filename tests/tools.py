"""Programs that no Python package brings: a laptop without one skips the tests that need it, CI must have it."""

import os
import shutil

import pytest


def require(*names: str, source: str) -> str:
    """Where the first of the programs that is there lies; `source` says what brings it."""
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        reason = f"{names[0]} is not installed: {source}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
