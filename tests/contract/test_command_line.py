"""A missing tool skips its tests on a laptop, and never silently in CI."""

from pathlib import Path

import pytest

from tests.tools import require


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_missing_tool_skips_but_fails_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="gsutil is not installed"):
        require("gsutil", source="it comes with the Google Cloud SDK")
