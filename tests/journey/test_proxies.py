"""A computer behind a proxy: what is on its own loopback is reached directly, by every door that a person uses."""

import os
import subprocess
from pathlib import Path

import pytest
import requests.utils

from infra.clients import past_proxies
from tests.journey.local_cloud import ROOT, settings_for
from tests.tools import DEAD_PROXIES

NAMES = ("NO_PROXY", "no_proxy")


def sourced(file: Path, **environ: str) -> dict[str, str]:
    """NO_PROXY in both spellings, in a shell of that environment that sourced the file."""
    shell = {name: value for name, value in os.environ.items() if name not in NAMES} | DEAD_PROXIES | environ
    script = f"set -eu; . '{file}'; printf '%s\\n' \"$NO_PROXY\" \"$no_proxy\""
    done = subprocess.run(["bash", "-c", script], env=shell, capture_output=True, text=True, check=True)
    return dict(zip(NAMES, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("spelling", NAMES)
@pytest.mark.parametrize("door", ["python", "shell"])
def test_the_loopback_is_reached_directly_and_a_persons_own_exceptions_stay(
    door: str, spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {spelling: "intranet.example"}
    settings = settings_for(tmp_path)
    settings.write_shell_files()
    found = past_proxies(own) if door == "python" else sourced(settings.shell_file, **own)
    for name, value in {**DEAD_PROXIES, **found}.items():
        monkeypatch.setenv(name, value)
    assert requests.utils.get_environ_proxies("http://intranet.example/") == {}
    assert requests.utils.get_environ_proxies(settings.storage_url) == {}
    assert requests.utils.get_environ_proxies("http://elsewhere.example/")["http"] == DEAD_PROXIES["http_proxy"]


def test_nothing_is_excepted_that_nobody_named(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    settings.write_shell_files()
    assert past_proxies({}) == sourced(settings.shell_file) == dict.fromkeys(NAMES, "127.0.0.1,localhost")


@pytest.mark.parametrize("spelling", NAMES)
def test_make_excepts_the_loopback_for_every_command(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        (ROOT / "Makefile").read_text() + '\nsay:\n\t@printf "%s\\n" "$$NO_PROXY" "$$no_proxy"\n'
    )
    shell = {name: value for name, value in os.environ.items() if name not in NAMES}
    for own, expected in (({}, "127.0.0.1,localhost"), ({spelling: "a,b"}, "127.0.0.1,localhost,a,b")):
        done = subprocess.run(
            ["make", "say"], cwd=tmp_path, env={**shell, **own}, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == [expected, expected]
