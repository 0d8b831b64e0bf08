"""The server as a process: how it starts, what it says when it cannot, how it ends."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.local_storage import ROOT, LocalStorage, command, running_storage


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_in_use_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = run(*command(tmp_path, port, 0))
    assert (failed.returncode, failed.stdout) == (2, "")
    (line,) = failed.stderr.splitlines()
    assert f"port {port} on 127.0.0.1 is in use" in line
    assert "--http-port" in line


def test_a_state_in_use_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    with running_storage(tmp_path):
        failed = run(*command(tmp_path, 0, 0))
    assert failed.returncode == 2
    (line,) = failed.stderr.splitlines()
    assert "another server uses" in line


@pytest.mark.parametrize(
    "arguments", [(), ("--state", "x"), ("--state", "x", "--http-port", "90000", "--https-port", "0")]
)
def test_wrong_options_are_one_line_and_exit_code_2(arguments: tuple[str, ...]) -> None:
    failed = run(sys.executable, "-m", "infra.local.storage", *arguments)
    assert failed.returncode == 2
    assert len(failed.stderr.splitlines()) == 1


def test_help_names_every_option() -> None:
    shown = run(sys.executable, "-m", "infra.local.storage", "--help")
    assert shown.returncode == 0
    for option in ("--state", "--http-port", "--https-port", "--host"):
        assert option in shown.stdout


def test_a_terminated_server_ends_cleanly_though_a_client_stays_connected(tmp_path: Path) -> None:
    with running_storage(tmp_path) as server, requests.Session() as session:
        session.get(f"{server.http_url}/storage/v1/b?project=p", timeout=30)
        assert server.stop() == 0
        assert server.log.read_text() == ""
        assert not (tmp_path / "gcs.sqlite-wal").exists()


def test_the_certificate_is_kept_over_a_restart_and_its_key_is_private(tmp_path: Path) -> None:
    with running_storage(tmp_path) as server:
        before = server.certificate.read_bytes()
        server.restart()
        assert server.certificate.read_bytes() == before
    assert (tmp_path / "tls-key.pem").stat().st_mode & 0o077 == 0


def test_nothing_is_logged_for_ordinary_requests_and_refusals(storage: LocalStorage) -> None:
    requests.get(f"{storage.http_url}/storage/v1/b/no-such-bucket-xyz", timeout=30)
    assert storage.log.read_text() == ""
